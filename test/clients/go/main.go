// The main job with what oapi-codegen generates; docs/clients.md shows its beginning.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"

	"example.com/main-job/keyward"
	"github.com/oapi-codegen/nullable"
)

var (
	url      = os.Getenv("KEYWARD_URL")
	token    = os.Getenv("KEYWARD_TOKEN")
	laterURL = os.Getenv("KEYWARD_LATER_URL")
	ctx      = context.Background()
)

func authorize(_ context.Context, request *http.Request) error {
	request.Header.Set("Authorization", "Bearer "+token)
	return nil
}

func check(isRight bool, said ...any) {
	if !isRight {
		log.Panic(said...)
	}
}

// must is for calls that have to get an answer.
func must[Answer any](answer Answer, err error) Answer {
	check(err == nil, err)
	return answer
}

func ok(step string) { fmt.Println("ok " + step) }

func ptr[Value any](value Value) *Value { return &value }

func main() {
	client, err := keyward.NewClientWithResponses(url, keyward.WithRequestEditorFn(authorize))
	if err != nil {
		log.Fatal(err)
	}
	wait := "wait=20"
	created, err := client.CreateKeyWithResponse(ctx, &keyward.CreateKeyParams{Prefer: &wait}, keyward.KeyCreate{
		Description: nullable.NewNullableWithValue("Card data"),
		Tags:        nullable.NewNullableWithValue(keyward.Tags{"team": "payments"}),
	})
	if err != nil || created.JSON201 == nil {
		log.Fatal(err, created)
	}
	key, etag := created.JSON201, created.HTTPResponse.Header.Get("ETag")
	changed, err := client.UpdateKeyWithResponse(ctx, key.Id.String(), &keyward.UpdateKeyParams{IfMatch: &etag}, keyward.KeyPatch{
		EnableKeyRotation: nullable.NewNullableWithValue(true),
	})
	if err != nil {
		log.Fatal(err)
	}
	if problem := changed.ApplicationproblemJSON422; problem != nil {
		for _, wrong := range *problem.Errors {
			fmt.Println(wrong.Code, *wrong.Pointer, wrong.Detail)
		}
	}

	goOn(client, created, changed)
}

func create(client *keyward.ClientWithResponses, body keyward.KeyCreate) *keyward.Key {
	created := must(client.CreateKeyWithResponse(ctx, &keyward.CreateKeyParams{Prefer: ptr("wait=60")}, body))
	check(created.JSON201 != nil, string(created.Body))
	return created.JSON201
}

func goOn(client *keyward.ClientWithResponses, created *keyward.CreateKeyResponse, changed *keyward.UpdateKeyResponse) {
	key := created.JSON201
	id := key.Id.String()

	me := must(client.GetAccessWithResponse(ctx, nil))
	check(slices.Contains(me.JSON200.Permissions, "keys:create"), string(me.Body))
	nobody := must(must(keyward.NewClientWithResponses(url)).ListKeysWithResponse(ctx, nil))
	check(nobody.ApplicationproblemJSON401.Status == 401, string(nobody.Body))
	ok("says who it is")

	check(created.StatusCode() == 201 && key.Status.State == keyward.SyncStateInSync)
	check(strings.HasPrefix(key.Arn.MustGet(), "arn:aws:kms:"))
	ok("creates a key, and waits for KMS")

	read := must(client.GetKeyWithResponse(ctx, id, nil))
	check(read.JSON200.Description == "Card data" && slices.Contains(*read.JSON200.AllowedActions, "keys:update"))
	etag := read.HTTPResponse.Header.Get("ETag")
	again := must(client.GetKeyWithResponse(ctx, id, &keyward.GetKeyParams{IfNoneMatch: &etag}))
	check(again.StatusCode() == 304)
	ok("reads it")

	check(changed.JSON200 != nil && changed.JSON200.EnableKeyRotation, string(changed.Body))
	ok("changes it while its ETag is current")

	stale := must(client.UpdateKeyWithResponse(ctx, id, &keyward.UpdateKeyParams{IfMatch: ptr(`"1.1"`)}, keyward.KeyPatch{
		IsEnabled: nullable.NewNullableWithValue(false),
	}))
	check(strings.HasSuffix(stale.ApplicationproblemJSON412.Type, "stale-generation"), string(stale.Body))
	ok("is told that an ETag is stale")

	wrong := must(client.UpdateKeyWithResponse(ctx, id, nil, keyward.KeyPatch{
		DeletionWindowInDays: nullable.NewNullableWithValue(3),
	}))
	errors := *wrong.ApplicationproblemJSON422.Errors
	check(len(errors) == 1 && errors[0].Code == "out_of_range" && *errors[0].Pointer == "/deletion_window_in_days")
	many := must(client.ListKeysWithResponse(ctx, &keyward.ListKeysParams{Limit: ptr(1000)}))
	check(*(*many.ApplicationproblemJSON400.Errors)[0].Parameter == "limit", string(many.Body))
	ok("is told what is wrong with its input, by code and pointer")

	plan := must(client.PlanUpdateKeyWithResponse(ctx, id, keyward.KeyPatch{
		Description: nullable.NewNullableWithValue("Planned"),
	}))
	check(len(plan.JSON200.Steps) == 1 && plan.JSON200.Steps[0].Operation == "UpdateKeyDescription", string(plan.Body))
	check(plan.JSON200.Changes["description"].After == "Planned", string(plan.Body))
	planned := must(client.PlanCreateKeyWithResponse(ctx, keyward.KeyCreate{MultiRegion: nullable.NewNullableWithValue(true)}))
	check(planned.JSON200.Steps[0].Operation == "CreateKey", string(planned.Body))
	ok("plans a change and a key")

	reported := must(client.UpdateKeyWithResponse(ctx, id, nil, keyward.KeyPatch{
		DriftPolicy: nullable.NewNullableWithValue(keyward.DriftPolicyReport),
	}))
	check(reported.JSON200.DriftPolicy == keyward.DriftPolicyReport, string(reported.Body))
	back := must(client.UpdateKeyWithResponse(ctx, id, nil, keyward.KeyPatch{
		DriftPolicy: nullable.NewNullNullable[keyward.DriftPolicy](),
	}))
	check(back.JSON200.DriftPolicy == keyward.DriftPolicyEnforce, string(back.Body))
	ok("brings a default back with null")

	tags := nullable.NewNullableWithValue(keyward.Tags{"client": "go"})
	made := []string{
		create(client, keyward.KeyCreate{Tags: tags}).Id.String(),
		create(client, keyward.KeyCreate{
			Tags:                  tags,
			KeyUsage:              nullable.NewNullableWithValue(keyward.KeyUsageSIGNVERIFY),
			CustomerMasterKeySpec: nullable.NewNullableWithValue(keyward.KeySpecECCNISTP256),
		}).Id.String(),
	}
	found := []string{}
	query := keyward.ListKeysParams{
		State: &[]keyward.SyncState{keyward.SyncStateInSync, keyward.SyncStateUpdating},
		Tag:   &[]string{"client:go"},
		Sort:  ptr(keyward.KeySortCreatedAtDescending),
		Limit: ptr(1),
	}
	for {
		page := must(client.ListKeysWithResponse(ctx, &query)).JSON200
		for _, item := range page.Items {
			found = append(found, item.Id.String())
		}
		if page.NextCursor.IsNull() {
			break
		}
		query.Cursor = ptr(page.NextCursor.MustGet())
	}
	slices.Reverse(found)
	check(slices.Equal(found, made), found, made)
	ok("lists by state and tag, page by page")

	deleted := must(client.DeleteKeyWithResponse(ctx, id, &keyward.DeleteKeyParams{DeletionWindowInDays: ptr(7)}))
	check(deleted.JSON202.Status.State == keyward.SyncStatePendingDeletion, string(deleted.Body))
	check(!deleted.JSON202.Status.DeletionDate.MustGet().IsZero())
	restored := must(client.RestoreKeyWithResponse(ctx, id, nil))
	check(restored.JSON200.Status.State == keyward.SyncStateInSync && restored.JSON200.IsEnabled, string(restored.Body))
	ok("schedules a deletion, and takes it back")

	quotas := keyward.QuotasInput{}
	check(quotas.FromProviderQuotasInput(keyward.ProviderQuotasInput{
		RequestsPerSecond: nullable.NewNullableWithValue(keyward.RequestRatesInput{CreateKey: ptr(float32(20))}),
	}) == nil)
	provider := must(client.CreateProviderWithResponse(ctx, nil, keyward.ProviderCreate{
		Name:        "go",
		Region:      "eu-west-1",
		DriftPolicy: nullable.NewNullableWithValue(keyward.DriftPolicyReport),
		Quotas:      nullable.NewNullableWithValue(quotas),
	}))
	check(provider.JSON201 != nil, string(provider.Body))
	given := create(client, keyward.KeyCreate{Provider: nullable.NewNullableWithValue("go")})
	check(given.DriftPolicy == keyward.DriftPolicyReport, given)
	ok("leaves drift_policy to the provider")

	looked := must(client.GetProviderWithResponse(ctx, "go", nil)).JSON200
	check(looked.Region == "eu-west-1", looked)
	shown := looked.Quotas.MustGet()
	check(must(shown.AsProviderQuotas()).RequestsPerSecond["CreateKey"] == 20, looked)
	check(quotas.FromQuotaRule(keyward.QuotaRuleNone) == nil)
	without := must(client.UpdateProviderWithResponse(ctx, "go", nil, keyward.ProviderPatch{
		Quotas: nullable.NewNullableWithValue(quotas),
	}))
	shown = without.JSON200.Quotas.MustGet()
	check(must(shown.AsQuotaRule()) == keyward.QuotaRuleNone, string(without.Body))
	ok("looks at a provider")

	revisions := must(client.ListKeyRevisionsWithResponse(ctx, id, nil)).JSON200
	check(slices.ContainsFunc(revisions.Items, func(revision keyward.Revision) bool {
		_, isChanged := revision.Changes["enable_key_rotation"]
		return revision.Origin == "update" && isChanged
	}))
	events := must(client.ListEventsWithResponse(ctx, &keyward.ListEventsParams{Type: ptr(keyward.EventTypeKmsWrite), Key: &id})).JSON200
	check(len(events.Items) > 0 && events.Items[0].Type == "kms.write" && events.Items[0].Key.MustGet() == key.Id)
	ok("reads the history")

	later := must(keyward.NewClientWithResponses(laterURL, keyward.WithRequestEditorFn(authorize)))
	grown := must(later.GetKeyWithResponse(ctx, id, nil))
	check(grown.JSON200.Id == key.Id && grown.JSON200.KeyUsage == "USAGE_OF_LATER", string(grown.Body))
	ok("bears fields and values that come later")
}
