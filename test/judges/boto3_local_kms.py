"""boto3 as anybody uses it, against the local KMS whose URL is the only argument. Ends with "N passed, N failed"."""

import sys

import boto3
from botocore.exceptions import ClientError

endpoint = sys.argv[1]


def client(service="kms", region="us-east-1", account="111122223333"):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="any",
    )


kms = client()


def code_of(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def creates_and_describes():
    key = kms.create_key(Description="by boto3", Tags=[{"TagKey": "team", "TagValue": "ops"}])["KeyMetadata"]
    described = kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]
    assert described == key and described["KeyState"] == "Enabled"


def creates_each_kind():
    for spec, usage in [("RSA_2048", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC"), ("ECC_NIST_P256", "KEY_AGREEMENT")]:
        key = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
        assert key["KeySpec"] == spec and key["KeyUsage"] == usage


def tags():
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": f"t{i}", "TagValue": str(i)} for i in range(50)])
    kms.untag_resource(KeyId=key, TagKeys=["t0", "t1"])
    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key, PaginationConfig={"PageSize": 20})
    found = [tag["TagKey"] for page in pages for tag in page["Tags"]]
    assert sorted(found) == sorted(f"t{i}" for i in range(2, 50))


def lists_keys_and_aliases():
    keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(25)]
    for index, key in enumerate(keys):
        kms.create_alias(AliasName=f"alias/boto3-{index}", TargetKeyId=key)
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 10}))
    listed = [key["KeyId"] for page in pages for key in page["Keys"]]
    assert len(pages) > 2 and set(keys) <= set(listed) and len(listed) == len(set(listed))
    aliases = kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 10})
    names = {alias["AliasName"]: alias["TargetKeyId"] for page in aliases for alias in page["Aliases"]}
    assert all(names[f"alias/boto3-{index}"] == key for index, key in enumerate(keys))
    assert kms.describe_key(KeyId="alias/boto3-7")["KeyMetadata"]["KeyId"] == keys[7]


def rotates():
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=120)
    status = kms.get_key_rotation_status(KeyId=key)
    assert status["KeyRotationEnabled"] and status["RotationPeriodInDays"] == 120
    kms.rotate_key_on_demand(KeyId=key)
    rotations = kms.get_paginator("list_key_rotations").paginate(KeyId=key).build_full_result()["Rotations"]
    assert [rotation["RotationType"] for rotation in rotations] == ["ON_DEMAND"]
    kms.disable_key_rotation(KeyId=key)
    assert not kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]


def policies():
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = kms.get_key_policy(KeyId=key)["Policy"]
    kms.put_key_policy(KeyId=key, Policy=policy)
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
    assert code_of(kms.put_key_policy, KeyId=key, Policy="{") == "MalformedPolicyDocumentException"


def disables_and_enables():
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    assert code_of(kms.enable_key_rotation, KeyId=key) == "DisabledException"
    kms.enable_key(KeyId=key)
    kms.update_key_description(KeyId=key, Description="new")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "new"


def deletes_and_cancels():
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    answer = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingDeletion" and answer["DeletionDate"].tzinfo is not None
    assert code_of(kms.enable_key, KeyId=key) == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def replicates():
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    kms.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
    replica = client(region="eu-west-1").describe_key(KeyId=key)["KeyMetadata"]
    assert replica["MultiRegionConfiguration"]["MultiRegionKeyType"] == "REPLICA"
    assert kms.schedule_key_deletion(KeyId=key)["KeyState"] == "PendingReplicaDeletion"


def custom_key_store():
    store = kms.create_custom_key_store(
        CustomKeyStoreName="boto3",
        CloudHsmClusterId="cluster-1a23b4cdefg",
        TrustAnchorCertificate="certificate",
        KeyStorePassword="password",
    )["CustomKeyStoreId"]
    kms.connect_custom_key_store(CustomKeyStoreId=store)
    key = kms.create_key(Origin="AWS_CLOUDHSM", CustomKeyStoreId=store)["KeyMetadata"]
    assert key["CustomKeyStoreId"] == store
    stores = kms.get_paginator("describe_custom_key_stores").paginate().build_full_result()["CustomKeyStores"]
    assert [found["ConnectionState"] for found in stores] == ["CONNECTED"]


def errors_have_their_names():
    assert code_of(kms.describe_key, KeyId="nonsense") == "NotFoundException"
    assert code_of(kms.create_key, KeySpec="RSA_2048") == "ValidationException"
    assert code_of(kms.create_alias, AliasName="x", TargetKeyId="x") == "ValidationException"


def tells_who_calls():
    assert client("sts", account="444455556666").get_caller_identity()["Account"] == "444455556666"


def assumes_roles():
    role = "arn:aws:iam::444455556666:role/team/keyward"
    sts = client("sts")
    given = sts.assume_role(RoleArn=role, RoleSessionName="portal", ExternalId="x1")
    assert given["Credentials"]["Expiration"].tzinfo is not None
    credentials = {
        "aws_access_key_id": given["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": given["Credentials"]["SecretAccessKey"],
        "aws_session_token": given["Credentials"]["SessionToken"],
    }
    session = {"endpoint_url": endpoint, "region_name": "eu-west-1", **credentials}
    arn = boto3.client("sts", **session).get_caller_identity()["Arn"]
    assert arn == given["AssumedRoleUser"]["Arn"] == "arn:aws:sts::444455556666:assumed-role/keyward/portal"
    key = boto3.client("kms", **session).create_key()["KeyMetadata"]
    assert key["Arn"].startswith("arn:aws:kms:eu-west-1:444455556666:key/")
    missing = "arn:aws:iam::444455556666:role/missing-role"
    assert code_of(sts.assume_role, RoleArn=missing, RoleSessionName="portal") == "AccessDenied"
    assert code_of(sts.assume_role, RoleArn=role, RoleSessionName="a b") == "ValidationError"


failed = 0
checks = [
    creates_and_describes,
    creates_each_kind,
    tags,
    lists_keys_and_aliases,
    rotates,
    policies,
    disables_and_enables,
    deletes_and_cancels,
    replicates,
    custom_key_store,
    errors_have_their_names,
    tells_who_calls,
    assumes_roles,
]
for check in checks:
    try:
        check()
        print(f"ok: {check.__name__}")
    except Exception as error:  # noqa: BLE001 - every failure counts, of whatever kind
        failed += 1
        print(f"not ok: {check.__name__}: {error!r}")
print(f"{len(checks) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
