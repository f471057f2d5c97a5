"""`/composite` and `/composite/batch`: up to 25 calls in one, of which up to 5 may be queries; the org counts one call."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

from connectors.simulators.salesforce.calls import Answer, Call, json_list
from connectors.simulators.salesforce.errors import Json, Refusal, refusal

MOST_PARTS = 25
MOST_QUERIES = 5
ROOT = "/services/data/v"
_QUERIES = ("query", "queryAll")

Router = Callable[[Call], Answer]


def composite(call: Call, router: Router) -> Answer:
    """`POST /composite`: each part answered on its own; with allOrNone the others are told to be rolled back."""
    body = call.json_object()
    parts = json_list(body, "compositeRequest")
    calls = _calls(call, parts, with_root=True)
    references = [one.get("referenceId") for one in parts]
    if not all(isinstance(one, str) and one for one in references) or len(set(map(str, references))) < len(references):
        raise refusal(400, "INVALID_REQUEST", "Each subrequest needs a referenceId of its own")
    answers = _answered(calls, router, is_atomic=body.get("allOrNone") is True)
    responses: list[Json] = [
        {
            "body": answer.body,
            "httpHeaders": dict(answer.headers),
            "httpStatusCode": answer.status,
            "referenceId": reference,
        }
        for reference, answer in zip(references, answers, strict=True)
    ]
    return Answer({"compositeResponse": responses})


def batch(call: Call, router: Router) -> Answer:
    """`POST /composite/batch`: parts without names; with haltOnError nothing runs after the first failure."""
    body = call.json_object()
    calls = _calls(call, json_list(body, "batchRequests"), with_root=False)
    answers: list[Answer] = []
    for one in calls:
        if body.get("haltOnError") is True and any(answer.status >= 400 for answer in answers):
            answers.append(_refused(refusal(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request")))
        else:
            answers.append(_run(one, router))
    results = [{"statusCode": one.status, "result": one.body} for one in answers]
    return Answer({"hasErrors": any(one.status >= 400 for one in answers), "results": results})


def _calls(call: Call, parts: list[Mapping[str, object]], *, with_root: bool) -> list[Call]:
    if not 1 <= len(parts) <= MOST_PARTS:
        raise refusal(400, "LIMIT_EXCEEDED", f"The maximum number of subrequests is {MOST_PARTS}")
    calls = [_call(call, one, with_root=with_root) for one in parts]
    if sum(one.path[:1] in (("query",), ("queryAll",)) for one in calls) > MOST_QUERIES:
        raise refusal(400, "LIMIT_EXCEEDED", f"The maximum number of query subrequests is {MOST_QUERIES}")
    return calls


def _call(call: Call, part: Mapping[str, object], *, with_root: bool) -> Call:
    url, method = part.get("url"), part.get("method")
    if not isinstance(url, str) or not isinstance(method, str):
        raise refusal(400, "JSON_PARSER_ERROR", "Each subrequest needs a method and a url")
    split = urlsplit(url)
    path = split.path.removeprefix("/services/data/").lstrip("/") if not with_root or url.startswith(ROOT) else ""
    version, *segments = path.rstrip("/").split("/")
    if not version.startswith("v") or not segments or segments[:2] in (["composite"], ["composite", "batch"]):
        raise refusal(400, "INVALID_REQUEST", f"The url of a subrequest must begin with {ROOT}XX.X/ and be supported")
    headers = part.get("httpHeaders")
    named = {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
    return replace(
        call,
        method=method.upper(),
        version=version.removeprefix("v"),
        path=tuple(segments),
        query=dict(parse_qsl(split.query, keep_blank_values=True)),
        headers={**call.headers, **named},
        body=part.get("body") if with_root else part.get("richInput"),
    )


def _answered(calls: list[Call], router: Router, *, is_atomic: bool) -> list[Answer]:
    """The answers in turn. Where all or none is wanted, writes are tried first and done only if every part went well."""
    if not is_atomic:
        return [_run(one, router) for one in calls]
    answers = [_run(replace(one, is_trial=True), router) for one in calls]
    if all(one.status < 400 for one in answers):
        pairs = zip(calls, answers, strict=True)
        return [answer if call.method == "GET" else _run(call, router) for call, answer in pairs]
    message = "The transaction was rolled back since another operation in the same transaction failed."
    halted = _refused(refusal(400, "PROCESSING_HALTED", message))
    return [one if one.status >= 400 else halted for one in answers]


def _run(call: Call, router: Router) -> Answer:
    try:
        return router(call)
    except Refusal as refused:
        return _refused(refused)


def _refused(refused: Refusal) -> Answer:
    return Answer(refused.body, refused.status)
