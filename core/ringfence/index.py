"""The trigger index: which positions may change their level at this mark, found without touching the others.

The theory.  Write s for the sign of q, and V for what a unit of size is worth: P for a linear contract, -1/P for an
inverse one.  A bucket breaches level r in tier t when

    equity = c + q*(V - F)  <=  r * (k*|q|*|V| - cum)        that is        (c + r*cum) / |q|  <=  r*k*|V| - s*V + s*F.

The left side is the bucket's *key*: only the account's own events change it.  The right side is the *threshold*: one
number for all buckets of an `Order`, one order for each (side, tier, level).  So a tick, a funding event or a change
of rates moves thresholds and touches no bucket. A called bucket also waits for its recovery, `equity >= R *
maintenance`, which is the same line read backwards: `-key <= -threshold`.

Maintenance in marginal tiers is the greatest of the tiers' lines, so a breach of any line is a breach.  A bucket
therefore stands under the line that binds *at its own trigger price*, not at the mark: no price movement ever moves
it.  Funding does move trigger prices, so a bucket is entered under every line that can bind while the funding index
stays inside the *horizon* (an eighth of the price, either way); leaving it re-enters the instrument once.

Under basis `entry` maintenance does not move with the price: the key is (c - r*maintenance) / |q| and the threshold
-s*V + s*F, so one line for each side and level takes the place of all tiers.

In tier modes `whole` and `given` maintenance jumps where a tier begins, and only the line of the tier that the notional
is in counts.  A bucket stands under that one, and under the two prices at which it leaves its tier.

The line of volatility is one more, without an amount and without a tier: every bucket of such an instrument stands
under it as well, in orders of its own.  All lines must be cleared on the way back up, so a called bucket waits there
for the one that binds at the mark.

Where the notional of a side falls as it loses (linear longs, inverse shorts) and r*k >= 1, a marginal line no longer
falls towards the position (a venue's top bracket under a call level): buckets that large are candidates at every tick.

Keys are rounded so that an entry can only fire too early.  Candidates are judged again exactly: the index may
over-report and never misses. Entries are never searched for: a bucket remembers the entry that counts, any other is
stale and dropped when it surfaces.
"""

from __future__ import annotations

from heapq import heapify, heappop
from typing import TYPE_CHECKING, Final

from ringfence.contracts import UNBOUNDED
from ringfence.orders import KEY_SCALE, SLACK, SLOT_BITS, LeastOrders, Order, binding, bounds_of
from ringfence.rules import Rules
from ringfence.scales import ONE, PRICE_ONE, ceil_divide

if TYPE_CHECKING:
    from ringfence.state import Bucket

SLOT_MASK: Final = (1 << SLOT_BITS) - 1
STALE_ALLOWANCE: Final = 64
NOWHERE: Final = (UNBOUNDED, -UNBOUNDED)
"""Bounds that hold for no bucket: `_place_anywhere` enters it, where the last line counts if none has it."""
CEILING_FACTOR: Final = 16
HORIZON: Final = 8


class TriggerIndex:
    """Every open bucket of one instrument under the lines where its level next changes."""

    __slots__ = (
        "anchor_funding",
        "bounded",
        "by_tier",
        "ceiling",
        "contract",
        "down",
        "edges",
        "free",
        "high",
        "least",
        "low",
        "orders",
        "orphans",
        "plain_below",
        "radius",
        "rules",
        "slots",
        "steep",
        "targets",
        "up",
    )

    def __init__(self, rules: Rules) -> None:
        self.slots: list[Bucket | None] = []
        self.free: list[int] = []
        self.anchor_funding = 0
        self.radius = 0
        """The funding index may move this far from the anchor before the instrument is entered again."""
        self.ceiling = 0
        """|V| may grow to this before the instrument is entered again, where that matters (`bounded`)."""
        self.configure(rules)

    def configure(self, rules: Rules) -> None:
        """Lay out empty orders for these parameters.  Call `enter_all` afterwards."""
        self.rules, self.contract = rules, rules.contract
        self.by_tier = not (rules.entry_basis or rules.long.greatest)
        """Whether a bucket stands under the line of the tier its notional is in, and leaves it at the tier's edges."""
        self.orders: list[Order] = []
        self.edges = (Order(rules.contract.sign * PRICE_ONE, 0, 0), Order(-rules.contract.sign * PRICE_ONE, 0, 0))
        """Buckets by the |V| at which they reach the next tier, and by that at which they fall below their own."""
        if self.by_tier:
            self.orders += self.edges
        ratios = [*rules.call_levels, ONE]
        self.down = tuple([self._lines(sign, ratio) for ratio in ratios] for sign in (1, -1))
        """down[side][place]: the lines towards a level, the mildest first, liquidation last; side 0 is long."""
        recovering = [level * (ONE + rules.recover) // ONE for level in rules.call_levels]
        self.up = tuple([self._lines(sign, ratio, rising=True) for ratio in recovering] for sign in (1, -1))
        self.targets = {level: place for place, level in enumerate([0, *rules.call_levels])}
        """Level of a bucket -> place in `down` of the lines towards the next deeper one."""
        self.orphans: dict[Bucket, None] = {}
        self.steep = tuple([self._steep(sign, ratio) for ratio in ratios] for sign in (1, -1))
        self.bounded = any(order for side in self.steep for _, _, order in side)
        """Whether some tier is steep, so that the horizon has a ceiling."""
        self.least: LeastOrders | None = None
        """The orders of the line of volatility.  Under basis `entry` it stands with the key, like all maintenance."""
        if rules.volatility is not None and not rules.entry_basis:
            self.least = LeastOrders(rules, ratios, recovering)
            self.orders += [least.order for least in self.least.all]
        self.plain_below = tuple(0 if self.least is not None else side[0][1] for side in self.steep)
        """Per side: buckets whose notional can become so large stand in more orders than that of one line."""
        self.low, self.high = 0, 0

    def _lines(self, sign: int, ratio: int, *, rising: bool = False) -> list[Order]:
        """Lay out the lines of one side and level; those `rising` are read backwards, for the way back up."""
        tiers = self.rules.long if sign > 0 else self.rules.short
        turn = -1 if rising else 1
        lines: list[Order] = []
        if self.rules.entry_basis:
            lines.append(Order(-turn * sign * PRICE_ONE, turn * sign, 0, NOWHERE, lines, ratio))
        else:
            contract = self.contract.sign
            for tier, (rate, amount) in enumerate(zip(tiers.rates, tiers.amounts, strict=True)):
                slope = ratio * rate - sign * contract * PRICE_ONE
                bounds = NOWHERE if self.by_tier else bounds_of(tiers, tier, slope, sign * contract)
                lines.append(Order(turn * contract * slope, turn * sign, ratio * amount // ONE, bounds, lines))
            if self.by_tier and not rising:  # maintenance is not below zero, whatever amounts are given
                lines.append(Order(-sign * PRICE_ONE, sign, 0, NOWHERE, lines))
        self.orders += lines
        return lines

    def _steep(self, sign: int, ratio: int) -> tuple[int, int, Order | None]:
        """Return (first steep tier, its floor, the order of buckets by the price at which they reach it)."""
        tiers = self.rules.long if sign > 0 else self.rules.short
        if self.rules.entry_basis or self.by_tier:
            return 1, UNBOUNDED, None
        first = len(tiers.rates)
        if sign * self.contract.sign > 0:
            first = next((tier for tier, rate in enumerate(tiers.rates) if ratio * rate >= PRICE_ONE), first)
        if first == len(tiers.rates):
            return first, UNBOUNDED, None
        order = Order(self.contract.sign * PRICE_ONE, 0, 0)
        self.orders.append(order)
        return first, tiers.floors[first], order

    # --------------------------------------------------------------------------------------- buckets come and go

    def place(self, bucket: Bucket) -> None:
        """Enter an open bucket, or enter it again after its own event."""
        funding_index = bucket.book.funding_index
        if bucket.slot < 0:
            self._take_slot(bucket, funding_index)
        size, level, order = bucket.size, bucket.level, bucket.order
        side, weight = (0, size) if size > 0 else (1, -size)
        lines = self.down[side][0]
        likely = order if order is not None and order.lines is lines else lines[0]
        value = bucket.cash + likely.amount
        shifted, spread = value - size * self.anchor_funding, self.radius * weight
        binds = likely.least + spread <= shifted <= likely.most - spread
        if not binds or level or weight * self.ceiling >= self.plain_below[side]:
            self._place_anywhere(bucket, side, funding_index)
            return
        entry = (value // (weight * ONE)) << SLOT_BITS | bucket.slot
        if order is likely and bucket.others is None and bucket.entry <= entry:
            return  # the entry that stands fires no later than the new one would
        self._forget(bucket)
        self._stand(bucket, likely, entry, funding_index)

    def _take_slot(self, bucket: Bucket, funding_index: int) -> None:
        if not self.radius:
            mark = bucket.book.mark
            self._anchor(bucket.entry_price * ONE if mark is None else mark, funding_index)
            if self.bounded:
                self._keep_below_ceiling()
        if self.free:
            bucket.slot = self.free.pop()
            self.slots[bucket.slot] = bucket
        else:
            bucket.slot = len(self.slots)
            self.slots.append(bucket)

    def _stand(self, bucket: Bucket, order: Order, entry: int, funding_index: int) -> None:
        """Make `entry` the bucket's main entry in `order`."""
        bucket.order, bucket.entry = order, entry
        if order.insert(entry):
            self._narrow(order, funding_index)
        if len(order.heap) > 2 * order.live + STALE_ALLOWANCE:
            self._sweep(order)

    def _place_anywhere(self, bucket: Bucket, side: int, funding_index: int) -> None:
        """Find the lines that can bind inside the horizon, and the way back up for a called bucket."""
        if bucket.level not in self.targets:
            self._always(bucket)
            return
        if self.by_tier:
            self._place_in_tier(bucket, side, funding_index)
            return
        size, level = abs(bucket.size), self.targets[bucket.level]
        lines = self.down[side][level]
        first_steep, steep_floor, steep_order = self.steep[side][level]
        found: list[tuple[Order, int]] = []
        if first_steep:
            reach = [binding(lines[:first_steep], bucket, self.anchor_funding + turn * self.radius) for turn in (-1, 1)]
            found += [
                (order, self._against(bucket, order) // (size * ONE)) for order in lines[min(reach) : max(reach) + 1]
            ]
        if steep_order is not None and steep_floor <= size * self.ceiling:
            found.append((steep_order, steep_floor // (size * ONE)))
        if self.least is not None:
            found.append((self.least.down[side][level], bucket.cash // (size * ONE)))
        if level:
            lines = self.up[side][level - 1]
            order = self._least_up(bucket, side, level) or lines[binding(lines, bucket, funding_index)]
            found.append((order, -self._against(bucket, order, rising=True) // (size * ONE)))
        self._stand_in(bucket, [(order, key << SLOT_BITS | bucket.slot) for order, key in found], funding_index)

    def _place_in_tier(self, bucket: Bucket, side: int, funding_index: int) -> None:
        """Enter a bucket under the line of its tier at the mark, and under the edges of that tier."""
        mark, size, level = bucket.book.mark, abs(bucket.size), self.targets[bucket.level]
        if mark is None:
            self._always(bucket)
            return
        value, tiers = self.rules.value(mark, bucket.entry_price), self.rules.side(bucket.size)
        tier, per_unit = tiers.tier_of(size * value.basis, value.per), size * ONE
        lines = self.down[side][level]
        found = [(order, self._against(bucket, order) // per_unit) for order in (lines[tier], lines[-1])]
        if self.least is not None:
            found.append((self.least.down[side][level], bucket.cash // per_unit))
        if level:
            order = self._least_up(bucket, side, level) or self.up[side][level - 1][tier]
            found.append((order, -self._against(bucket, order, rising=True) // per_unit))
        if tier + 1 < len(tiers.floors):
            found.append((self.edges[0], tiers.floors[tier + 1] // per_unit))
        if tier:
            found.append((self.edges[1], -tiers.floors[tier] // per_unit))
        self._stand_in(bucket, [(order, key << SLOT_BITS | bucket.slot) for order, key in found], funding_index)

    def _least_up(self, bucket: Bucket, side: int, level: int) -> Order | None:
        """Return the order for the way back up over the line of volatility, if that is the one that binds at the mark.

        Recovery takes all lines, so whichever a bucket waits for, it fires no later than that.
        """
        mark = bucket.book.mark
        if self.least is None or mark is None:
            return None
        value = self.rules.value(mark, bucket.entry_price)
        line = self.rules.side(bucket.size).line_at(abs(bucket.size) * value.basis, value.per)
        return self.least.up[side][level - 1] if line.tier is None else None

    def _against(self, bucket: Bucket, order: Order, *, rising: bool = False) -> int:
        """c + r*cum, or c - r*maintenance, money: rounded so that the entry can only fire too early."""
        if not order.ratio:
            return bucket.cash + order.amount
        required, per = self.rules.required_at_entry(bucket.size, bucket.entry_price)
        required, unit = order.ratio * required, per * PRICE_ONE
        return bucket.cash - (required // unit if rising else ceil_divide(required, unit))

    def _always(self, bucket: Bucket) -> None:
        """A bucket at a level that newer parameters no longer have, or in no tier yet, is a candidate at every tick."""
        self._forget(bucket)
        self.orphans[bucket] = None
        self.low = self.high = 0

    def _stand_in(self, bucket: Bucket, entries: list[tuple[Order, int]], funding_index: int) -> None:
        """Make these the entries of a bucket, unless those it has are in the same orders and fire no later."""
        if bucket.order is not None:
            standing = [(bucket.order, bucket.entry), *(bucket.others or ())]
            if len(standing) == len(entries) and all(
                old[0] is new[0] and old[1] <= new[1] for old, new in zip(standing, entries, strict=True)
            ):
                return
        self._forget(bucket)
        for order, entry in entries[1:]:
            if order.insert(entry):
                self._narrow(order, funding_index)
        bucket.others = tuple(entries[1:]) or None
        self._stand(bucket, *entries[0], funding_index)

    def remove(self, bucket: Bucket) -> None:
        """Take a bucket out: it closed, or its liquidation has begun."""
        self._forget(bucket)
        if bucket.slot >= 0:
            self.slots[bucket.slot] = None
            self.free.append(bucket.slot)
            bucket.slot = -1

    def _forget(self, bucket: Bucket) -> None:
        """Let the entries of a bucket go stale."""
        if bucket.order is not None:
            bucket.order.live -= 1
            bucket.order = None
        for order, _ in bucket.others or ():
            order.live -= 1
        bucket.others = None

    def _sweep(self, order: Order) -> None:
        """Drop the stale entries of an order; paid for by the insertions that made them stale."""
        order.heap = [entry for entry in dict.fromkeys(order.heap) if self._owner(order, entry) is not None]
        heapify(order.heap)

    def _owner(self, order: Order, entry: int) -> Bucket | None:
        """Return the bucket for which this entry counts, None when it is stale."""
        bucket = self.slots[entry & SLOT_MASK]
        if bucket is None:
            return None
        if bucket.order is order and bucket.entry == entry:
            return bucket
        if bucket.others is not None and (order, entry) in bucket.others:
            return bucket
        return None

    # ------------------------------------------------------------------------------------------ the market moves

    def fired(self, mark: int, funding_index: int) -> list[Bucket]:
        """Return every bucket whose entry has fired, each once, in no order, taken out; `place` what stays open."""
        value = self.contract.signed(mark)
        drifted = abs(funding_index - self.anchor_funding) > self.radius
        if self.radius and (drifted or (self.bounded and abs(value) > self.ceiling)):
            self.enter_all(mark, funding_index)
        candidates = [bucket for bucket in self.orphans if bucket.slot >= 0 and bucket.order is None]
        self.orphans = {}
        for order in self.orders:
            heap = order.heap
            if not heap:
                continue
            limit = (order.threshold(value, funding_index) + SLACK) << SLOT_BITS
            while heap and heap[0] < limit:
                bucket = self._owner(order, heap[0])
                heappop(heap)
                if bucket is not None:
                    order.live -= 1
                    self._spend(bucket, order)
                    candidates.append(bucket)
        return candidates

    def reached(self, mark: int, funding_index: int) -> list[Bucket]:
        """Return every bucket whose entry would fire at this mark, each once, in no order; nothing is taken out.  Above
        the ceiling only who gains their way into a steep tier could be missed, and that calls them at most.
        """
        value = self.contract.signed(mark)
        found = dict.fromkeys(bucket for bucket in self.orphans if bucket.slot >= 0)
        for order in self.orders:
            for entry in order.until((order.threshold(value, funding_index) + SLACK) << SLOT_BITS):
                bucket = self._owner(order, entry)
                if bucket is not None:
                    found[bucket] = None
        return list(found)

    def open_buckets(self) -> list[Bucket]:
        """Return every bucket that is watched, in no order."""
        return [bucket for bucket in self.slots if bucket is not None]

    def repriced(self, rules: Rules, mark: int, funding_index: int) -> list[Bucket]:
        """Return every bucket that another rate of volatility, that of `rules`, makes a candidate at this mark, each
        once, in no order; all stay where they are.
        """
        if self.least is None:
            return self.open_buckets()
        entries = self.least.reached(rules, self.contract.signed(mark), funding_index)
        owners = (self._owner(order, entry) for order, entry in entries)
        found = dict.fromkeys(bucket for bucket in owners if bucket is not None)
        return list(found | {bucket: None for bucket in self.orphans if bucket.slot >= 0})

    def reprice(self, rules: Rules, price: int, funding_index: int) -> None:
        """Go on under rules of which only the rate of volatility is another: thresholds move, buckets stay."""
        self.rules = rules
        if self.least is not None:
            self.least.reprice(rules)
        else:
            self.enter_all(price, funding_index)
        self.low = self.high = 0

    @staticmethod
    def _spend(bucket: Bucket, order: Order) -> None:
        """Forget all entries of a bucket of which one was just taken from `order`, whose count is already right."""
        if bucket.order is not None and bucket.order is not order:
            bucket.order.live -= 1
        for other, _ in bucket.others or ():
            if other is not order:
                other.live -= 1
        bucket.order, bucket.others = None, None

    def settle(self, funding_index: int) -> None:
        """Find the safe interval anew: while low < mark < high no entry can have fired."""
        self.low, self.high = 0, UNBOUNDED
        if self.bounded and self.radius:
            self._keep_below_ceiling()
        if self.orphans:
            self.high = 0
        for order in self.orders:
            if order.heap:
                self._narrow(order, funding_index)

    def _narrow(self, order: Order, funding_index: int) -> None:
        """Take the price at which the first entry of `order` fires into the safe interval."""
        distance = (order.heap[0] >> SLOT_BITS) * KEY_SCALE - order.sign * funding_index * PRICE_ONE
        self._stay_between(*self.contract.quiet(order.slope, distance))

    def _keep_below_ceiling(self) -> None:
        """Take the price at which |V| reaches the ceiling into the safe interval."""
        self._stay_between(*self.contract.quiet(self.contract.sign, self.ceiling))

    def _stay_between(self, low: int, high: int) -> None:
        """Narrow the safe interval."""
        self.low = max(self.low, low)
        self.high = min(self.high, high)

    def _anchor(self, price: int, funding_index: int) -> None:
        value = abs(self.contract.signed(price))
        self.anchor_funding = funding_index
        self.radius = value // HORIZON + 1
        self.ceiling = value * CEILING_FACTOR

    def enter_all(self, price: int, funding_index: int) -> None:
        """Enter every bucket anew around this price: after new parameters, or when the horizon is left."""
        self._anchor(price, funding_index)
        for order in self.orders:
            order.heap, order.live = [], 0
        self.orphans = {}
        for bucket in self.slots:
            if bucket is not None:
                bucket.order = bucket.others = None
                self.place(bucket)
        self.low = self.high = 0
