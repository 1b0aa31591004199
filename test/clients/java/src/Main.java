/** The main job with what openapi-generator generates for Java; docs/clients.md shows its beginning. */
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import keyward.ApiClient;
import keyward.ApiException;
import keyward.ApiResponse;
import keyward.api.AccessApi;
import keyward.api.AccessApi.*;
import keyward.api.HistoryApi;
import keyward.api.HistoryApi.*;
import keyward.api.KeysApi;
import keyward.api.KeysApi.*;
import keyward.api.ProvidersApi;
import keyward.api.ProvidersApi.*;
import keyward.model.AccessMe;
import keyward.model.DriftPolicy;
import keyward.model.Event;
import keyward.model.EventType;
import keyward.model.InputError;
import keyward.model.Key;
import keyward.model.KeyCreate;
import keyward.model.KeyList;
import keyward.model.KeyPatch;
import keyward.model.KeySort;
import keyward.model.KeySpec;
import keyward.model.KeyUsage;
import keyward.model.Plan;
import keyward.model.Problem;
import keyward.model.Provider;
import keyward.model.ProviderCreate;
import keyward.model.ProviderPatch;
import keyward.model.ProviderQuotasInput;
import keyward.model.QuotaRule;
import keyward.model.Quotas;
import keyward.model.QuotasInput;
import keyward.model.RequestRatesInput;
import keyward.model.SyncState;

public class Main {
  static final String url = System.getenv("KEYWARD_URL");
  static final String token = System.getenv("KEYWARD_TOKEN");
  static final String laterUrl = System.getenv("KEYWARD_LATER_URL");

  static void ok(String step) {
    System.out.println("ok " + step);
  }

  static void check(boolean isRight, Object said) {
    if (!isRight) throw new AssertionError(said);
  }

  interface Call {
    Object make() throws ApiException;
  }

  static Problem problemOf(ApiClient client, Call call) throws Exception {
    Object answer;
    try {
      answer = call.make();
    } catch (ApiException error) {
      return client.getObjectMapper().readValue(error.getResponseBody(), Problem.class);
    }
    throw new AssertionError("It is no problem: " + answer);
  }

  static Key create(KeysApi keys, KeyCreate body) throws ApiException {
    return keys.createKey(APICreateKeyRequest.newBuilder().keyCreate(body).prefer("wait=60").build());
  }

  static Key update(KeysApi keys, String id, KeyPatch body) throws ApiException {
    return keys.updateKey(APIUpdateKeyRequest.newBuilder().id(id).keyPatch(body).build());
  }

  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(url);
    client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));
    KeysApi keys = new KeysApi(client);

    KeyCreate body = new KeyCreate().description("Card data").tags(Map.of("team", "payments"));
    ApiResponse<Key> created =
        keys.createKeyWithHttpInfo(APICreateKeyRequest.newBuilder().keyCreate(body).prefer("wait=20").build());
    String id = created.getData().getId().toString();
    String etag = created.getHeaders().get("etag").get(0);
    KeyPatch change = new KeyPatch().enableKeyRotation(true).tags(Map.of("env", "prod"));
    try {
      keys.updateKey(APIUpdateKeyRequest.newBuilder().id(id).keyPatch(change).ifMatch(etag).build());
    } catch (ApiException error) {
      Problem problem = client.getObjectMapper().readValue(error.getResponseBody(), Problem.class);
      for (InputError wrong : problem.getErrors()) System.out.println(wrong.getCode() + " " + wrong.getPointer());
    }

    goOn(client, created, id);
  }

  static void goOn(ApiClient client, ApiResponse<Key> created, String id) throws Exception {
    KeysApi keys = new KeysApi(client);
    HistoryApi history = new HistoryApi(client);
    ProvidersApi providers = new ProvidersApi(client);

    AccessMe me = new AccessApi(client).getAccess(APIGetAccessRequest.newBuilder().build());
    check(me.getPermissions().contains("keys:create"), me);
    ApiClient nobody = new ApiClient();
    nobody.updateBaseUri(url);
    check(problemOf(nobody, () -> new KeysApi(nobody).listKeys(APIListKeysRequest.newBuilder().build())).getStatus() == 401, "");
    ok("says who it is");

    Key key = created.getData();
    check(created.getStatusCode() == 201 && key.getStatus().getState() == SyncState.IN_SYNC, key);
    check(key.getArn().startsWith("arn:aws:kms:"), key);
    ok("creates a key, and waits for KMS");

    ApiResponse<Key> read = keys.getKeyWithHttpInfo(APIGetKeyRequest.newBuilder().id(id).build());
    check(read.getData().getDescription().equals("Card data"), read.getData());
    check(read.getData().getAllowedActions().contains("keys:update"), read.getData());
    ok("reads it");

    check(read.getData().getTags().equals(Map.of("team", "payments", "env", "prod")), read.getData());
    check(read.getData().getEnableKeyRotation(), read.getData());
    ok("changes it while its ETag is current");

    Problem stale = problemOf(client, () -> keys.updateKey(APIUpdateKeyRequest.newBuilder()
        .id(id).keyPatch(new KeyPatch().isEnabled(false)).ifMatch("\"1.1\"").build()));
    check(stale.getStatus() == 412 && stale.getType().toString().endsWith("stale-generation"), stale);
    ok("is told that an ETag is stale");

    Problem wrong = problemOf(client, () -> update(keys, id, new KeyPatch().deletionWindowInDays(3)));
    InputError error = wrong.getErrors().get(0);
    check(error.getCode().equals("out_of_range") && error.getPointer().equals("/deletion_window_in_days"), wrong);
    Problem many = problemOf(client, () -> keys.listKeys(APIListKeysRequest.newBuilder().limit(1000).build()));
    check(many.getErrors().get(0).getParameter().equals("limit"), many);
    ok("is told what is wrong with its input, by code and pointer");

    Plan plan = keys.planUpdateKey(
        APIPlanUpdateKeyRequest.newBuilder().id(id).keyPatch(new KeyPatch().description("Planned")).build());
    check(plan.getSteps().get(0).getOperation().equals("UpdateKeyDescription"), plan);
    check(plan.getChanges().get("description").getAfter().equals("Planned"), plan);
    plan = keys.planCreateKey(APIPlanCreateKeyRequest.newBuilder().keyCreate(new KeyCreate().multiRegion(true)).build());
    check(plan.getSteps().get(0).getOperation().equals("CreateKey"), plan);
    ok("plans a change and a key");

    Key reported = update(keys, id, new KeyPatch().driftPolicy(DriftPolicy.REPORT));
    check(reported.getDriftPolicy() == DriftPolicy.REPORT, reported);
    Key back = update(keys, id, new KeyPatch().driftPolicy(null).putTagsItem("env", null));
    check(back.getDriftPolicy() == DriftPolicy.ENFORCE, back);
    check(back.getTags().equals(Map.of("team", "payments")), back);
    ok("brings a default back with null");

    Map<String, String> tags = Map.of("client", "java");
    List<Object> made = List.of(
        create(keys, new KeyCreate().tags(tags)).getId(),
        create(keys, new KeyCreate().tags(tags)
            .keyUsage(KeyUsage.SIGN_VERIFY).customerMasterKeySpec(KeySpec.ECC_NIST_P256)).getId());
    List<Object> found = new ArrayList<>();
    String cursor = null;
    do {
      KeyList page = keys.listKeys(APIListKeysRequest.newBuilder()
          .state(List.of(SyncState.IN_SYNC, SyncState.UPDATING)).tag(List.of("client:java"))
          .sort(KeySort.CreatedAtDescending).limit(1).cursor(cursor).build());
      for (Key item : page.getItems()) found.add(item.getId());
      cursor = page.getNextCursor();
    } while (cursor != null);
    Collections.reverse(found);
    check(found.equals(made), found);
    ok("lists by state and tag, page by page");

    Key deleted = keys.deleteKey(APIDeleteKeyRequest.newBuilder().id(id).deletionWindowInDays(7).build());
    check(deleted.getStatus().getState() == SyncState.PENDING_DELETION, deleted);
    check(deleted.getStatus().getDeletionDate() != null, deleted);
    Key restored = keys.restoreKey(APIRestoreKeyRequest.newBuilder().id(id).build());
    check(restored.getStatus().getState() == SyncState.IN_SYNC && restored.getIsEnabled(), restored);
    ok("schedules a deletion, and takes it back");

    ProviderQuotasInput rates = new ProviderQuotasInput().requestsPerSecond(new RequestRatesInput().createKey(BigDecimal.valueOf(20)));
    providers.createProvider(APICreateProviderRequest.newBuilder().providerCreate(new ProviderCreate()
        .name("java").region("eu-west-1").driftPolicy(DriftPolicy.REPORT).quotas(new QuotasInput(rates))).build());
    check(create(keys, new KeyCreate().provider("java")).getDriftPolicy() == DriftPolicy.REPORT, "");
    ok("leaves drift_policy to the provider");

    Provider provider = providers.getProvider(APIGetProviderRequest.newBuilder().name("java").build());
    check(provider.getRegion().equals("eu-west-1"), provider);
    check(provider.getQuotas().getProviderQuotas().getRequestsPerSecond().get("CreateKey").intValue() == 20, provider);
    provider = providers.updateProvider(APIUpdateProviderRequest.newBuilder().name("java")
        .providerPatch(new ProviderPatch().quotas(new QuotasInput(QuotaRule.NONE))).build());
    check(provider.getQuotas().getQuotaRule() == QuotaRule.NONE, provider);
    ok("looks at a provider");

    check(history.listKeyRevisions(APIListKeyRevisionsRequest.newBuilder().id(id).build()).getItems().stream()
        .anyMatch(one -> one.getOrigin().equals("update") && one.getChanges().containsKey("tags")), "");
    for (Event event : history.listEvents(
        APIListEventsRequest.newBuilder().type(EventType.KMS_WRITE).key(id).build()).getItems()) {
      check(event.getType().equals("kms.write") && event.getKey().toString().equals(id), event);
    }
    ok("reads the history");

    ApiClient later = new ApiClient();
    later.updateBaseUri(laterUrl);
    later.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));
    Key grown = new KeysApi(later).getKey(APIGetKeyRequest.newBuilder().id(id).build());
    check(grown.getId().equals(key.getId()) && grown.getKeyUsage().equals("USAGE_OF_LATER"), grown);
    ok("bears fields and values that come later");
  }
}
