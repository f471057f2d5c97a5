"""From the CRM to the fact: poll, inbox, people, and the one recording transaction."""
