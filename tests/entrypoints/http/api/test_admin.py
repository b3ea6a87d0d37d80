"""What admins see and do over HTTP, and that it is on record."""

from decimal import Decimal

from sqlalchemy import text

from tests.entrypoints.http.api.conftest import Installation, Person


async def test_accounts_are_listed_read_and_suspended(ada: Person, admin: Person) -> None:
    page = await admin.get("/v1/admin/users", params={"limit": 1})
    rest = await admin.get("/v1/admin/users", params={"limit": 5, "cursor": page["next_cursor"]})
    assert [one["username"] for one in page["items"] + rest["items"]] == ["root", "ada"]
    at = f"/v1/admin/users/{ada.id}"
    assert (await admin.get(at))["credit_balance"] == "1000.00000000"
    assert (await admin.ask("PATCH", at, json={"status": "suspended", "reason": "Spam"}))["status"] == "suspended"
    assert (await ada.http.get("/v1/credits")).status_code == 401
    assert (await admin.ask("PATCH", at, json={"status": "active", "reason": "Sorry"}))["status"] == "active"
    await ada.get("/v1/credits")
    assert (await admin.ask("PATCH", at, json={"role": "admin", "reason": "Help"}))["role"] == "admin"
    told = await admin.ask("PATCH", f"/v1/admin/users/{admin.id}", json={"role": "person", "reason": "x"}, status=409)
    assert told["code"] == "not_on_yourself"
    await admin.get("/v1/admin/users/2147483647", status=404)
    await admin.get("/v1/admin/users/2147483648", status=422)
    log = await admin.get("/v1/admin/audit", params={"user_id": ada.id})
    actions = [one["action"] for one in log["items"]]
    assert actions == ["account.role_set", "account.active", "account.suspended"]
    assert {one["actor_user_id"] for one in log["items"]} == {admin.id}
    assert all(one["request_id"] for one in log["items"])


async def test_a_grant_wakes_what_waited_for_it(here: Installation, ada: Person, admin: Person) -> None:
    project_id = await ada.begin()
    async with here.app.database.transaction() as session:
        await session.execute(text("UPDATE users SET credit_balance = 0 WHERE username = 'ada'"))
    await here.drive(project_id, user_id=ada.id)
    (waiting,) = (await ada.get("/v1/credits"))["waiting"]
    assert waiting["project_id"] == str(project_id)
    nothing: tuple[object, ...] = ("0", "-1", "0.001", "NaN", "1000001", None, {})
    for nonsense in nothing:
        body = {"credits": nonsense, "reason": "x"}
        await admin.post(f"/v1/admin/users/{ada.id}/grants", body, status=422)
    granted = await admin.post(f"/v1/admin/users/{ada.id}/grants", {"credits": "50", "reason": "Go"}, status=201)
    assert Decimal(granted["balance_after"]) == 50
    assert (await ada.get(f"/v1/projects/{project_id}"))["state"] == "ready"
    assert (await ada.get("/v1/credits"))["waiting"] == []


async def test_prices_and_platform_keys_are_set_and_on_record(admin: Person) -> None:
    new = {
        "model": "openrouter/some/model",
        "rates": {"input": "0.5", "output": "2", "cached": "0.05"},
        "tiers": [{"above_tokens": 200_000, "rates": {"input": "1", "output": "4"}}],
    }
    shown = await admin.post("/v1/admin/prices", new, status=201)
    assert Decimal(shown["tiers"][0]["rates"]["input"]) == 1
    listed = (await admin.get("/v1/admin/prices"))["items"]
    assert "openrouter/some/model" in [one["model"] for one in listed]
    wrongs: tuple[dict[str, object], ...] = (
        {"model": "nothing"},
        {"rates": {}, "tiers": []},
        {"is_free": True},
        {"rates": {"input": "-1"}},
    )
    for wrong in wrongs:
        await admin.post("/v1/admin/prices", new | wrong, status=422)
    key = {"provider": "openrouter", "key": "sk-or-v1-0123456789abcdef0123456789abcdef", "label": "Pool"}
    kept = await admin.post("/v1/admin/keys", key, status=201)
    assert [one["last4"] for one in (await admin.get("/v1/admin/keys"))["items"]] == ["cdef"]
    assert (await admin.get("/v1/keys"))["items"] == []
    await admin.ask("DELETE", f"/v1/admin/keys/{kept['fingerprint']}", status=204)
    await admin.ask("DELETE", f"/v1/admin/keys/{kept['fingerprint']}", status=404)
    log = (await admin.get("/v1/admin/audit"))["items"]
    assert [one["action"] for one in log] == ["key.removed", "key.added", "price.set"]
    assert "0123456789abcdef" not in str(log)


async def test_usage_and_runs_in_need_are_reported(here: Installation, ada: Person, admin: Person) -> None:
    project_id = await here.planned(ada)
    for by in ("user", "project", "model", "day", "purpose"):
        told = await admin.get("/v1/admin/usage", params={"by": by, "since": "2020-01-01", "until": "9999-12-31"})
        assert told["total"]["calls"] == 2
    assert (await admin.get("/v1/admin/usage", params={"since": "0001-01-01", "until": "0001-01-01"}))["items"] == []
    for nonsense in ("yesterday", "0", "1732147200", "2026-13-01"):
        await admin.get("/v1/admin/usage", params={"since": nonsense}, status=422)
    assert (await admin.get("/v1/admin/attention"))["items"] == []
    async with here.app.database.transaction() as session:
        await session.execute(text("UPDATE runs SET state = 'attention', stop_code = 'crashes', reason = 'It died.'"))
    (in_need,) = (await admin.get("/v1/admin/attention"))["items"]
    assert (in_need["project_id"], in_need["stop_code"]) == (str(project_id), "crashes")


async def test_transactions_come_in_pages_that_miss_nothing(ada: Person, admin: Person) -> None:
    for number in range(1, 6):
        await admin.post(f"/v1/admin/users/{ada.id}/grants", {"credits": str(number), "reason": "x"}, status=201)
    seen, cursor = [], None
    while True:
        page = await ada.get("/v1/credits/transactions", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        seen += [Decimal(one["credits"]) for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1, 1000]
