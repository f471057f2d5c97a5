"""Google Ads through the Data Manager API: uploads and their late verdicts."""
