"""The words of the report: key figures, explanations beside the plots.  HTML, without layout."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape

from examples.crash.accounts import Strategy, Trader, count_by_strategy
from examples.crash.case import Case
from examples.crash.chronicle import Figures, Hour
from examples.crash.market import INSTRUMENTS, Minute
from examples.crash.plots import moment

MINUTES_AN_HOUR = 60

PRICES = """<p>The line is the real price, the band the range of each minute. An amber dot marks a minute in which
margin calls were opened, a red triangle one in which liquidations started, both at the mark price that triggered the
first of them; the larger, the more positions.</p>
<p>Calls come at three levels of equity to maintenance margin: 3, 2 and 1.3. Liquidation starts at 1.</p>
<p>Longs suffer on the way down. Shorts that were opened near the bottom follow when the price comes back.</p>
<p>Drag to zoom; a double click shows everything again.</p>"""

CONTAINMENT = """<p>Every dot is one liquidation: how much collateral had been put into the position's bucket, and how
much of it was lost, fees of the liquidation aside.</p>
<p>Nothing lies above the dashed diagonal: a position can lose what stands behind it and not one unit more. The
owner's wallet and other positions are untouched, and each certificate proves it with the wallet before and after.</p>
<p>Dots on the diagonal lost everything. What such a position still owed is a shortfall, and the fund paid it.</p>"""

FUNDS = """<p>Each instrument has a fund of its own. It earns a fee on the fills of liquidation orders and pays for
positions that were closed beyond their bankruptcy price.</p>
<p>LINK sends no orders: its fund takes a position over at the mark, keeps what is left in the bucket and pays what is
missing, so its balance moves most.</p>
<p>The seeds are generated.</p>"""

REQUIREMENT = """<p>What a requirement that follows volatility would have asked for. The venue of this example has none:
its ticks are folded once more by themselves, so nothing here touches the accounts above.</p>
<p>The mark is sampled every five minutes. The rate covers four standard deviations of an hour, a quarter of them those
of a stressed market. A rise is announced a quarter of an hour ahead; a fall must hold for six hours.</p>"""

STRATEGIES = """<p>Called positions by the generated strategy of their owner. Who answers a call is liquidated less
often; in a fall as steep as this one an answer can also come too late.</p>
<p>Accounts answer 85 % of their calls, a minute at most after they were made.</p>"""


def lead(minutes: Sequence[Minute], accounts: int) -> str:
    """What the page is about, in two sentences."""
    fall = min(_worst_fall(minutes, column) for column in range(len(INSTRUMENTS)))
    return (
        f"Four perpetuals on real prices, with a fall of up to {-fall:.0%} within an hour, and {accounts:,} generated "
        "accounts whose every position is ring-fenced with its own collateral. Ringfence decided every call, "
        "liquidation and shortfall below, and its journal can be folded again to the same bytes."
    )


def _worst_fall(minutes: Sequence[Minute], column: int) -> float:
    """The lowest close against the close an hour before, as a fraction."""
    closes = [float(minute.bars[column].close) for minute in minutes]
    hour_later = closes[MINUTES_AN_HOUR:]
    return min((late / early - 1 for early, late in zip(closes, hour_later, strict=False)), default=0.0)


def generated(seed: int, traders: Sequence[Trader]) -> str:
    """Who trades, by strategy."""
    counts = count_by_strategy(traders)
    shares = ", ".join(f"{strategy.value} {counts[strategy]:,}" for strategy in Strategy)
    return f"{len(traders):,} of them from seed {seed}, by what each does: {shares}."


def cards(figures: Figures) -> Iterator[tuple[str, str, str]]:
    """Name, value and note of each key figure."""
    results = figures.liquidations
    kept = results["restored"] + results["cured"]
    ends = f"{kept:,} restored, {results['closed']:,} closed, {results['taken_over']:,} taken over"
    collateral = f"of {figures.collateral:,.0f} collateral; none lost more than its own"
    paid = f"{figures.shortfalls:,} paid by the funds; uncovered {figures.uncovered:,.0f}"
    before, after = sum(figures.fund_before.values()), sum(figures.fund_after.values())
    saved = figures.saved_accounts / max(1, figures.called_accounts)
    yield "Margin calls", f"{figures.calls['called']:,}", f"{figures.called_accounts:,} accounts called"
    yield "Liquidations", f"{results.total():,}", ends
    yield "Losses in buckets, USDT", f"{figures.loss:,.0f}", collateral
    yield "Shortfalls, USDT", f"{figures.shortfall:,.0f}", paid
    yield "Insurance funds, USDT", f"{after:,.0f}", f"{before:,.0f} before"
    yield "Saved by a top-up", f"{saved:.1%}", f"{figures.saved_accounts:,} of the called accounts"


def per_minute(worst: Hour | None) -> str:
    """Beside the calls and liquidations per minute."""
    text = "<p>How many margin cases opened (above) and how many liquidations started (below), minute by minute.</p>"
    if worst is None:
        return text
    return (
        f"{text}<p>The worst hour began at {moment(worst.start_us)} UTC: {worst.liquidations:,} liquidations ended in "
        f"it with losses of {worst.loss:,.0f} USDT, all of them inside the buckets. The buttons zoom to it.</p>"
    )


def case_title(case: Case) -> str:
    """Names the account."""
    return f"One account: {escape(case.account)} in {escape(case.instrument)}"


def case_text(case: Case) -> str:
    """Beside the one account's plot."""
    opened = case.opened
    side = "short" if opened.quantity.startswith("-") else "long"
    money = sum((amount for _, amount in case.top_ups), Decimal(0))
    return (
        f"<p>A {side} of {opened.quantity.lstrip('-')} contracts, opened at {Decimal(opened.entry_price):.5f} USDT at "
        f"{opened.leverage}x leverage and {Decimal(opened.collateral):,.2f} USDT of collateral.</p>"
        "<p>Above: the mark, and the price at which the position would be liquidated. Each of the "
        f"{len(case.top_ups)} top-ups (together {money:,.2f} USDT) moves that price a step away from the mark.</p>"
        "<p>Below: the equity of the position, which follows the mark, and the maintenance margin. Where the two lines "
        "meet the position is liquidated; a top-up lifts equity by exactly its amount.</p>"
        "<p>The engine's own numbers at the end of every minute, read while the journal was folded again.</p>"
    )
