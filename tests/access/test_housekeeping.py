"""What is of no use any more is forgotten; what still counts, or would give a thief away, stays."""

from bottega.access.housekeeping import Housekeeping
from tests.access.scene import Scene
from tests.access.test_personal_tokens import make
from tests.database import MakeUser

TABLES = ("sign_ins", "refresh_tokens", "personal_tokens", "sign_in_codes", "wrong_codes", "used_telegram_data")


async def rows(scene: Scene) -> dict[str, int]:
    return {table: await scene.count(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608


async def test_only_what_is_old_is_forgotten(scene: Scene, make_user: MakeUser) -> None:
    user = await make_user()
    tokens = await scene.signed_in(user)
    await scene.access.sign_ins.refresh(tokens.refresh_token)
    await scene.access.sign_ins.sign_out((await scene.signed_in(user)).refresh_token)
    await make(scene, user)
    await scene.code(user)
    await scene.execute("INSERT INTO wrong_codes (id, address_mac) VALUES (1, 'a')")
    await scene.execute("INSERT INTO used_telegram_data VALUES ('a', now() + interval '1 minute')")
    before = await rows(scene)
    await Housekeeping(database=scene.database).forget_old()
    assert await rows(scene) == before
    await scene.execute("UPDATE sign_ins SET ended_at = now() - interval '31 days' WHERE ended_at IS NOT NULL")
    await scene.execute("UPDATE refresh_tokens SET spent_at = now() - interval '31 days' WHERE spent_at IS NOT NULL")
    await scene.execute("UPDATE personal_tokens SET expires_at = now() - interval '91 days'")
    await scene.execute("UPDATE sign_in_codes SET expires_at = now() - interval '1 second'")
    await scene.execute("UPDATE wrong_codes SET tried_at = now() - interval '61 minutes'")
    await scene.execute("UPDATE used_telegram_data SET expires_at = now() - interval '1 second'")
    await Housekeeping(database=scene.database).forget_old()
    assert await rows(scene) == dict.fromkeys(TABLES, 0) | {"sign_ins": 1, "refresh_tokens": 1}
