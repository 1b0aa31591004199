"""The main job with what openapi-python-client generates; docs/clients.md shows its beginning."""
import os

from keyward_client import AuthenticatedClient, Client
from keyward_client.api.access import get_access
from keyward_client.api.history import list_events, list_key_revisions
from keyward_client.api.keys import (
    create_key,
    delete_key,
    get_key,
    list_keys,
    plan_create_key,
    plan_update_key,
    restore_key,
    update_key,
)
from keyward_client.api.providers import create_provider, get_provider, update_provider
from keyward_client.models import (
    DriftPolicy,
    EventType,
    Key,
    KeyCreate,
    KeyPatch,
    KeySort,
    KeySpec,
    KeyUsage,
    Plan,
    Problem,
    Provider,
    ProviderCreate,
    ProviderPatch,
    ProviderQuotas,
    ProviderQuotasInput,
    QuotaRule,
    RequestRatesInput,
    RevisionList,
    SyncState,
    Tags,
    TagsPatch,
)
from keyward_client.types import UNSET

url = os.environ["KEYWARD_URL"]
token = os.environ["KEYWARD_TOKEN"]
later_url = os.environ["KEYWARD_LATER_URL"]

keyward = AuthenticatedClient(base_url=url, token=token)

body = KeyCreate(description="Card data", tags=Tags.from_dict({"team": "payments"}))
created = create_key.sync_detailed(client=keyward, body=body, prefer="wait=20")
if not isinstance(created.parsed, Key):
    raise SystemExit(created.parsed.detail if created.parsed else created.status_code)
key = created.parsed
change = KeyPatch(enable_key_rotation=True, tags=TagsPatch.from_dict({"env": "prod"}))
changed = update_key.sync(key.id, client=keyward, body=change, if_match=created.headers["etag"])
for error in (changed.errors or []) if isinstance(changed, Problem) else []:
    print(error.code, error.pointer, error.detail)


def ok(step: str) -> None:
    print(f"ok {step}", flush=True)


def create(body: KeyCreate) -> Key:
    made = create_key.sync(client=keyward, body=body, prefer="wait=60")
    assert isinstance(made, Key), made
    return made


def change_of(body: KeyPatch) -> Key:
    made = update_key.sync(key.id, client=keyward, body=body)
    assert isinstance(made, Key), made
    return made


me = get_access.sync(client=keyward)
assert "keys:create" in me.permissions
nobody = list_keys.sync_detailed(client=Client(base_url=url))
assert nobody.status_code == 401 and isinstance(nobody.parsed, Problem) and nobody.parsed.status == 401
ok("says who it is")

assert created.status_code == 201
assert key.status.state == SyncState.IN_SYNC
assert key.arn.startswith("arn:aws:kms:")
ok("creates a key, and waits for KMS")

read = get_key.sync_detailed(key.id, client=keyward)
assert isinstance(read.parsed, Key) and read.parsed.description == "Card data"
assert "keys:update" in read.parsed.allowed_actions
again = get_key.sync_detailed(key.id, client=keyward, if_none_match=read.headers["etag"])
assert again.status_code == 304
ok("reads it")

assert isinstance(changed, Key), changed
assert changed.tags.to_dict() == {"team": "payments", "env": "prod"}
ok("changes it while its ETag is current")

stale = update_key.sync(key.id, client=keyward, body=KeyPatch(is_enabled=False), if_match='"1.1"')
assert isinstance(stale, Problem) and stale.status == 412
assert stale.type_.endswith("stale-generation")
ok("is told that an ETag is stale")

wrong = update_key.sync(key.id, client=keyward, body=KeyPatch(deletion_window_in_days=3))
assert isinstance(wrong, Problem) and wrong.status == 422
assert [(error.code, error.pointer) for error in wrong.errors] == [("out_of_range", "/deletion_window_in_days")]
many = list_keys.sync(client=keyward, limit=1000)
assert isinstance(many, Problem) and many.errors[0].parameter == "limit"
ok("is told what is wrong with its input, by code and pointer")

plan = plan_update_key.sync(key.id, client=keyward, body=KeyPatch(description="Planned"))
assert isinstance(plan, Plan) and [step.operation for step in plan.steps] == ["UpdateKeyDescription"]
assert plan.changes["description"].after == "Planned"
plan = plan_create_key.sync(client=keyward, body=KeyCreate(multi_region=True))
assert isinstance(plan, Plan) and plan.steps[0].operation == "CreateKey"
ok("plans a change and a key")

assert change_of(KeyPatch(drift_policy=DriftPolicy.REPORT)).drift_policy == DriftPolicy.REPORT
back = change_of(KeyPatch(drift_policy=None, tags=TagsPatch.from_dict({"env": None})))
assert back.drift_policy == DriftPolicy.ENFORCE
assert back.tags.to_dict() == {"team": "payments"}
ok("brings a default back with null")

tags = Tags.from_dict({"client": "python"})
made = [
    create(KeyCreate(tags=tags)),
    create(
        KeyCreate(
            tags=tags, key_usage=KeyUsage.SIGN_VERIFY, customer_master_key_spec=KeySpec.ECC_NIST_P256
        )
    ),
]
found, cursor = [], UNSET
while cursor is not None:
    page = list_keys.sync(
        client=keyward,
        state=[SyncState.IN_SYNC, SyncState.UPDATING],
        tag=["client:python"],
        sort=KeySort.CREATED_AT_DESCENDING,
        limit=1,
        cursor=cursor,
    )
    found += [item.id for item in page.items]
    cursor = page.next_cursor
assert found == [one.id for one in reversed(made)], found
ok("lists by state and tag, page by page")

deleted = delete_key.sync(key.id, client=keyward, deletion_window_in_days=7)
assert isinstance(deleted, Key) and deleted.status.state == SyncState.PENDING_DELETION
assert deleted.status.deletion_date.tzinfo is not None
restored = restore_key.sync(key.id, client=keyward)
assert isinstance(restored, Key) and restored.status.state == SyncState.IN_SYNC and restored.is_enabled
ok("schedules a deletion, and takes it back")

provider = create_provider.sync(
    client=keyward,
    body=ProviderCreate(
        name="python",
        region="eu-west-1",
        drift_policy=DriftPolicy.REPORT,
        quotas=ProviderQuotasInput(requests_per_second=RequestRatesInput(create_key=20)),
    ),
)
assert isinstance(provider, Provider), provider
assert create(KeyCreate(provider="python")).drift_policy == DriftPolicy.REPORT
ok("leaves drift_policy to the provider")

provider = get_provider.sync("python", client=keyward)
assert isinstance(provider, Provider) and provider.region == "eu-west-1"
assert isinstance(provider.quotas, ProviderQuotas)
assert provider.quotas.requests_per_second["CreateKey"] == 20
provider = update_provider.sync("python", client=keyward, body=ProviderPatch(quotas=QuotaRule.NONE))
assert isinstance(provider, Provider) and provider.quotas == QuotaRule.NONE
ok("looks at a provider")

revisions = list_key_revisions.sync(key.id, client=keyward)
assert isinstance(revisions, RevisionList)
assert any(revision.origin == "update" and "tags" in revision.changes for revision in revisions.items)
events = list_events.sync(client=keyward, type_=EventType.KMS_WRITE, key=str(key.id))
assert events.items and all(event.key == key.id for event in events.items)
ok("reads the history")

later = get_key.sync(key.id, client=AuthenticatedClient(base_url=later_url, token=token))
assert isinstance(later, Key) and later.id == key.id
assert later.key_usage == "USAGE_OF_LATER"
ok("bears fields and values that come later")
