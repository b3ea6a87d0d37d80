"""Talks and places: whose they are, told by one at a time, shown by whoever has the lease."""

from datetime import timedelta

from sqlalchemy import text
from tests.database import MakeProject, MakeUser

from bottega.db.transaction import Database
from bottega.orchestration import chats
from bottega.orchestration.chats import Expects


async def test_what_is_expected_is_kept_until_something_else_is_spoken_of(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    ada = await make_user()
    project = await make_project(ada)
    async with database.transaction() as session:
        talk = await chats.open_talk(session, chat_id=7, user_id=ada.id, language="es\0")
        await chats.expect(session, talk, what=Expects.FILE, about_id=project.id, draft="a\0b")
        again = await chats.open_talk(session, chat_id=7, user_id=ada.id, language=None)
        assert (again.expects, again.about_id, again.draft) == (Expects.FILE, project.id, "ab")
        await chats.begin_in(session, talk, project_id=project.id)
        spoken = await chats.open_talk(session, chat_id=7, user_id=ada.id, language="es")
        assert (spoken.expects, spoken.draft, spoken.project_id, spoken.language) == (None, None, project.id, "es")


async def test_another_persons_project_is_not_told_of_here(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    ada, eve = await make_user(), await make_user()
    project = await make_project(ada)
    async with database.transaction() as session:
        talk = await chats.open_talk(session, chat_id=8, user_id=eve.id, language=None)
        await chats.adopt(session, talk, project_id=project.id)
        assert await chats.where_told(session, project_id=project.id) is None


async def test_a_project_is_told_of_by_one_at_a_time_and_in_the_chat_it_was_begun_in(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    ada = await make_user()
    project = await make_project(ada)
    async with database.transaction() as session:
        for chat_id in (7, -100):
            talk = await chats.open_talk(session, chat_id=chat_id, user_id=ada.id, language=None)
            await chats.begin_in(session, talk, project_id=project.id)
        assert await chats.where_told(session, project_id=project.id) == 7
    async with database.transaction() as one, database.transaction() as other:
        assert await chats.take_place(one, project_id=project.id) is not None
        assert await chats.take_place(other, project_id=project.id) is None


async def test_who_shows_has_a_lease_and_a_shut_chat_is_left_alone(
    database: Database, make_user: MakeUser, make_project: MakeProject
) -> None:
    ada = await make_user()
    project = await make_project(ada)
    async with database.transaction() as session:
        talk = await chats.open_talk(session, chat_id=7, user_id=ada.id, language=None)
        await chats.begin_in(session, talk, project_id=project.id)
        await session.execute(text("UPDATE chat_projects SET status_message_id = 5"))
        [place] = await chats.claim_to_show(session, at_most=5)
        assert await chats.claim_to_show(session, at_most=5) == []
        await chats.look_again(session, place=place, again_in=timedelta(0))
        await chats.set_shut(session, chat_id=7, is_shut=True)
        assert await chats.claim_to_show(session, at_most=5) == []
        await chats.set_shut(session, chat_id=7, is_shut=False)
        assert await chats.claim_to_show(session, at_most=5) == [place]
