"""The ledger: what is posted adds up to what is held."""

from collections import defaultdict
from fractions import Fraction

from ringfence_schemas.frames import Settings
from ringfence_schemas.topics import DECISION_TOPICS, LEDGER
from tests.core.desk import Desk
from tests.core.engines import Json


def eventful(settings: Settings) -> tuple[Desk, list[Json]]:
    """A desk on which every kind of money movement happened, and its decisions."""
    desk = Desk(settings, fees={"taker": "0.0005"}, liquidation={"residual": "fund", "fee_rate": "0.01"})
    said = desk.play("fund_deposit", instrument="X", amount="20")
    for account, amount in (("ann", "2000"), ("bob", "150"), ("dan", "61")):
        said += desk.deposit(account, amount)
    said += desk.play("withdrawal", account="ann", asset="USDT", amount="100")
    said += desk.tick("100")
    said += desk.buy("ann", "10", "100", margin="200")
    said += desk.command("add_margin", "ann", amount="50")
    said += desk.command("set_leverage", "ann", leverage="10")
    said += desk.command("remove_margin", "ann", amount="10")
    said += desk.command("set_leverage", "ann", leverage="5", rebalance=True)
    said += desk.command("set_leverage", "ann", leverage="4", rebalance=True)
    said += desk.play("deposit", account="ann", asset="USDT", amount="7", instrument="X")
    said += desk.funding("0.01")
    said += desk.sell("ann", "2", "100", fee="-1")
    said += desk.sell("ann", "8", "100.000000000000000001", fee="0.3")
    said += desk.buy("bob", "10", "100", margin="100")
    said += desk.command("set_leverage", "bob", leverage="100")
    said += desk.buy("bob", "1", "100", fee="60")
    said += desk.sell("dan", "10", "100", margin="60")
    said += desk.tick("96")
    said += desk.sell("bob", "11", "96", liquidation_id="bob|X|l1")
    said += desk.tick("120")
    said += desk.buy("dan", "10", "120", liquidation_id="dan|X|l1", fee="0")
    return desk, said


def test_the_postings_add_up_to_the_balances() -> None:
    """Every ledger account holds what was posted to it: debits and credits of all fifteen reasons, without a rest."""
    desk, said = eventful(Settings(ledger=True))
    postings = [decision for decision in said if decision["type"] == "posting"]
    totals: dict[str, Fraction] = defaultdict(Fraction)
    for posting in postings:
        assert Fraction(posting["amount"]) > 0
        totals[posting["debit"]] -= Fraction(posting["amount"])
        totals[posting["credit"]] += Fraction(posting["amount"])
    (ledger,) = (line for line in desk.engine.statement() if line["type"] == "ledger")
    held = {name: Fraction(amounts.get("USDT", "0")) for name, amounts in ledger["balances"].items()}
    assert held == totals
    assert sum(held.values()) == 0
    reasons = "add_margin close deposit fee fill fund_deposit liquidation_fee margin rebalance release remove_margin"
    assert {posting["reason"] for posting in postings} == {
        *reasons.split(), "residual", "rounding", "shortfall", "withdrawal"
    }  # fmt: skip


def test_a_posting_names_the_account_and_the_instrument_it_is_about() -> None:
    """A posting names whose wallet or bucket it moves, and in which instrument, where it touches one."""
    _, said = eventful(Settings(ledger=True))
    for posting in (decision for decision in said if decision["type"] == "posting"):
        names = [name.split("|") for name in (posting["debit"], posting["credit"])]
        owners = {name[1] for name in names if name[0] in ("wallet", "bucket")}
        markets = {name[-1] for name in names if name[0] in ("bucket", "fund", "trading", "funding")}
        assert ({posting["account"]} if posting["account"] else set()) == owners
        assert ({posting["instrument"]} if posting["instrument"] else set()) == markets


def test_whether_postings_are_published_changes_nothing_else() -> None:
    """With and without the ledger topic the other decisions are the same, and postings do not count as outcomes."""
    (plain, without), (posted, together) = eventful(Settings()), eventful(Settings(ledger=True))
    assert [decision for decision in together if decision["type"] != "posting"] == without
    assert plain.fold.outcomes == posted.fold.outcomes
    assert (
        posted.fold.outcomes
        == sum(posted.fold.state.numbers.get(topic, 0) for topic in DECISION_TOPICS)
        - (posted.fold.state.numbers[LEDGER])
    )
