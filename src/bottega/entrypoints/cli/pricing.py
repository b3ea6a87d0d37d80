"""`bottega pricing`: what models cost. Providers' prices are read; an operator's own stand above them."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bottega.billing.price_sync import Selection, SyncReport, Verdict
from bottega.billing.prices import PriceRow, active_prices, price_history, set_price
from bottega.billing.pricing import Offer, Rates, Tier
from bottega.bootstrap import App, open_price_sync
from bottega.config import Settings
from bottega.entrypoints.cli.running import Exit, fail, run_app
from bottega.llm.types import ModelName, UnknownModelName

LONGEST_ARGUMENT = 400
TIER_RATES = 3  # input, output, and perhaps cached input


@click.group()
def pricing() -> None:
    """See and set what models cost, in US dollars per million tokens."""


@pricing.command(name="list")
def list_() -> None:
    """List the active prices, with their tiers, and since when they hold."""

    async def work(app: App) -> tuple[PriceRow, ...]:
        async with app.database.transaction() as session:
            return await active_prices(session)

    table = _table("Model", *_OFFER_HEADINGS, "Source", "Since")
    for row in run_app(work, settings=Settings.load()):
        _add(table, str(row.model), *_offer_cells(row.price.offer), row.source, f"{row.since:%Y-%m-%d}")
    Console().print(table)


@pricing.command()
@click.argument("model")
def history(model: str) -> None:
    """List every price MODEL (provider/name) has had, the newest first."""
    name = _model(model)

    async def work(app: App) -> tuple[PriceRow, ...]:
        async with app.database.transaction() as session:
            return await price_history(session, model=name)

    rows = run_app(work, settings=Settings.load())
    if not rows:
        fail(f"{name} has never had a price.")
    table = _table("Since", "", *_OFFER_HEADINGS, "Source", "Notes")
    for row in rows:
        state = "in use" if row.is_active else "replaced"
        cells = _offer_cells(row.price.offer)
        _add(table, f"{row.since:%Y-%m-%d %H:%M}", state, *cells, row.source, row.notes or "")
    Console().print(table)


@pricing.command(name="set")
@click.argument("model")
@click.option("--input", "input_", help="US dollars per million input tokens.")
@click.option("--output", help="US dollars per million output tokens.")
@click.option("--cached-input", help="US dollars per million input tokens that were read from a cache.")
@click.option("--cache-write", help="US dollars per million input tokens that were written to a cache.")
@click.option("--reasoning", help="US dollars per million output tokens of reasoning.")
@click.option("--per-request", help="US dollars per call.")
@click.option("--per-image", help="US dollars per image of input.")
@click.option("--tier", "tiers", multiple=True, help="ABOVE:IN:OUT[:CACHED]: the prices above so many input tokens.")
@click.option("--free", is_flag=True, help="The model costs nothing: a server of your own.")
def set_(
    model: str,
    *,
    input_: str | None,
    output: str | None,
    cached_input: str | None,
    cache_write: str | None,
    reasoning: str | None,
    per_request: str | None,
    per_image: str | None,
    tiers: Sequence[str],
    free: bool,
) -> None:
    """Set the price of MODEL (provider/name). Calls already made keep theirs, and no sync replaces it."""
    if free == (input_ is not None and output is not None):
        fail("Give either --input and --output, or --free.")
    name = _model(model)
    rates = Rates(
        input=_price(input_ or "0"),
        output=_price(output or "0"),
        cached=_price_if_any(cached_input),
        cache_write=_price_if_any(cache_write),
        reasoning=_price_if_any(reasoning),
    )
    steps = [_tier(text) for text in tiers]
    request_usd, image_usd = _price_if_any(per_request), _price_if_any(per_image)

    async def work(app: App) -> None:
        async with app.database.transaction() as session:
            await set_price(
                session,
                model=name,
                rates=rates,
                tiers=steps,
                per_request=request_usd,
                per_input_image=image_usd,
                is_free=free,
            )

    run_app(work, settings=Settings.load())
    click.echo(f"{name} is priced.")


@pricing.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "every", is_flag=True, help="Also every model that OpenRouter lists.")
@click.option("--accept", "accepted", multiple=True, metavar="MODEL", help="Take a price held back; `all` takes each.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
def sync(models: Sequence[str], *, every: bool, accepted: Sequence[str], dry_run: bool) -> None:
    """Bring prices up to what providers ask: of the MODELs, or of the configured ones.

    A price that moved by more than a factor of two, or that is zero, is held back until it is accepted. Exit code 3
    when one in use is held back, or when a model that was asked for has no price.
    """
    settings = Settings.load()
    selection = _selection(settings, models=models, every=every, accepted=accepted)

    async def work(app: App) -> SyncReport:
        async with open_price_sync(settings, database=app.database) as price_sync:
            return await price_sync(selection=selection, dry_run=dry_run)

    report = run_app(work, settings=settings)
    _show(report, dry_run=dry_run)
    raise SystemExit(Exit.NEEDS_PERSON if report.needs_operator else 0)


def _selection(settings: Settings, *, models: Sequence[str], every: bool, accepted: Sequence[str]) -> Selection:
    taken = tuple(_model(text) for text in accepted if text != "all")
    named = (*(_model(text) for text in models), *taken)
    configured = (settings.models.architect, *settings.models.implementers)
    return Selection(
        models=tuple(dict.fromkeys(named or configured)),
        every=every,
        accepted=frozenset(taken),
        accept_all="all" in accepted,
    )


def _show(report: SyncReport, *, dry_run: bool) -> None:
    table = _table("Model", "", *_OFFER_HEADINGS, "Why")
    for line in report.lines:
        if line.verdict is Verdict.UNCHANGED or (line.verdict is Verdict.SKIPPED and not line.asked):
            continue
        stands = line.before if line.verdict is Verdict.KEPT_OVERRIDE else line.after
        _add(table, str(line.model), line.verdict.value, *(_offer_cells(stands) if stands else [""] * 4), line.why)
    if table.row_count:
        Console().print(table)
    counts = ", ".join(f"{len(report.models(verdict))} {verdict.value}" for verdict in Verdict)
    click.echo(f"{'Nothing was written. ' if dry_run else ''}Models: {counts}.")
    held = report.models(Verdict.FLAGGED)
    if held:
        click.echo(f"Take what is held back, once it looks right: bottega pricing sync --accept {held[0]}")


_OFFER_HEADINGS = ("In", "Out", "Apart", "Tiers")


def _offer_cells(offer: Offer) -> tuple[str, str, str, str]:
    """Return the two main prices, those of what is priced apart, and the tiers."""
    if offer.is_free:
        return ("free", "free", "", "")
    base = offer.base
    apart = {"cached": base.cached, "cache write": base.cache_write, "reasoning": base.reasoning}
    apart |= {"request": offer.per_request or None, "image": offer.per_input_image or None}
    named = (f"{name} {_plain(amount)}" for name, amount in apart.items() if amount is not None)
    tiers = (f"above {t.above_tokens:,}: {_plain(t.rates.input)} / {_plain(t.rates.output)}" for t in offer.tiers)
    return (_plain(base.input), _plain(base.output), ", ".join(named), "; ".join(tiers))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    """Add a row as it stands: a provider's names and reasons are text, never markup."""
    table.add_row(*(Text("".join(c if c.isprintable() else "?" for c in cell)) for cell in cells))


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _model(text: str) -> ModelName:
    if len(text) > LONGEST_ARGUMENT or not text.isprintable():
        fail(f"{text[:80]!a} is no model's name: write provider/model, as in google/gemini-2.5-pro.")
    try:
        return ModelName.parse(text)
    except UnknownModelName as error:
        fail(error.message)


def _tier(text: str) -> Tier:
    above, *prices = text.split(":")
    if not above.isdecimal() or len(above) > LONGEST_ARGUMENT or not TIER_RATES - 1 <= len(prices) <= TIER_RATES:
        fail(f"{text[:80]!a} is not a tier: write ABOVE:IN:OUT or ABOVE:IN:OUT:CACHED, as in 200000:2.50:15:0.25.")
    rates = [_price(price) for price in prices]
    cached = rates[2] if len(rates) == TIER_RATES else None
    return Tier(above_tokens=int(above), rates=Rates(input=rates[0], output=rates[1], cached=cached))


def _price_if_any(text: str | None) -> Decimal | None:
    return None if text is None else _price(text)


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        fail(f"{text[:80]!a} is not a price in US dollars.")
    if not price.is_finite() or price < 0:
        fail("A price is zero or more.")
    return price
