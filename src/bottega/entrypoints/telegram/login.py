"""A code to sign in with over HTTP: said in private, to whose chat it is, and made when it is sent (`post_code`)."""

from bottega.access.codes import LIFE_SECONDS
from bottega.entrypoints.telegram.sending import CODE_HERE, post_code
from bottega.entrypoints.telegram.turn import Turn


async def give_code(turn: Turn) -> None:
    """Post a code, or in a group the way to where it can be had. Raise AccountNotActive for who may not sign in."""
    words, house = turn.words.people, turn.house
    if house.codes is None:
        return await turn.say(words.unknown_command("login"))
    if not turn.incoming.is_private:
        return await turn.say(words.login_only_in_private(bot=house.bot_name))
    said = words.login_code(CODE_HERE, address=house.rules.public_url, minutes=LIFE_SECONDS // 60)
    late, key = words.login_too_late(), f"{turn.key}:answer"
    async with house.database.transaction() as session:
        await house.codes.check_may_ask(session, user_id=turn.user_id)
        await post_code(session, chat_id=turn.chat_id, say=said, instead=late, key=key)
    return None
