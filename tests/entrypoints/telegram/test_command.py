"""`bottega bot`: what it refuses, that it talks, by either way of hearing, and that it ends when told to."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bottega.entrypoints.cli.app import main
from tests.entrypoints.telegram.bots import free_port
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.journeys.patrolling import variables
from tests.waiting import when_there


def test_without_a_token_one_sentence_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN", raising=False)
    said = CliRunner().invoke(main, ["bot"])
    assert (said.exit_code, said.stdout) == (2, "")
    assert "@BotFather" in said.stderr
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"TELEGRAM_BOT_TOKEN": "not a token"}, "TELEGRAM_BOT_TOKEN: write it as BotFather gave it"),
        ({"TELEGRAM_WEBHOOK_URL": "https://b.example"}, "TELEGRAM_BOT_TOKEN: set it beside TELEGRAM_WEBHOOK_URL"),
        ({"TELEGRAM_WEBHOOK_PORT": "8443"}, "TELEGRAM_WEBHOOK_URL: set it beside TELEGRAM_WEBHOOK_PORT"),
        ({"TELEGRAM_WEBHOOK_SECRET": "short"}, "TELEGRAM_WEBHOOK_SECRET: write 16 to 256 letters"),
        ({"TELEGRAM_ADMIN_IDS": "7,ada"}, "TELEGRAM_ADMIN_IDS: "),
        ({"TELEGRAM_ALLOWED_USER_IDS": "-7"}, "TELEGRAM_ALLOWED_USER_IDS: "),
        ({"TELEGRAM_API_BASE_URL": "telegram"}, "TELEGRAM_API_BASE_URL: write a URL"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    given: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(main, ["bot"])
    assert said.exit_code == 2
    assert complaint in said.stderr
    assert not any(value in said.stderr for name, value in given.items() if "TOKEN" in name or "SECRET" in name)


@pytest.mark.parametrize("hears_by", ["polling", pytest.param("its own webhook", marks=pytest.mark.slow)])
async def test_it_talks_and_ends_when_told_to(hears_by: str, database_url: str, tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        ada = telegram.person(7, "Ada")
        port = free_port()
        webhook = {"TELEGRAM_WEBHOOK_URL": f"http://127.0.0.1:{port}", "TELEGRAM_WEBHOOK_PORT": str(port)}
        more = {
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_BASE_URL": telegram.url,
            "HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
            **({} if hears_by == "polling" else webhook),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bottega", "bot"),
            env=variables(database_url, tmp_path / "home") | more,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                await when_there(tmp_path / "heartbeat")
                await ada.says("/start")
                await ada.waits_for("Ada", within=50)
                process.send_signal(signal.SIGTERM)
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, err.decode()
        assert b"Talking as @bottega_bot" in out
        assert b"Stopping" in out
        assert TOKEN not in err.decode()
        assert telegram.undelivered == 0
        assert (telegram.webhook is None) is (hears_by == "polling")
        assert {"", "en"} <= set(telegram.commands)
