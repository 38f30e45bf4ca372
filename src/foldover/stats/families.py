"""The register of families of hypotheses, written before data.

A family names its hypotheses, its procedure and its error rate. It may be tested once: the register refuses a
second test on other evidence and an edit after the data, and anything tested outside a family is descriptive.
The register is a value: every change returns a new one, and its digest goes into each report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from foldover.core import AnalysisError, digest
from foldover.stats._inputs import require_probability
from foldover.stats.multiplicity import PROCEDURES, Procedure, adjust

Role = Literal["primary", "secondary", "descriptive"]
Sidedness = Literal["two_sided", "less", "greater"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Hypothesis:
    """That the effect of `term` is zero at a budget, on a host, in a regime of seeds (empty: any)."""

    term: str
    budget: str = ""
    host: str = ""
    regime: str = ""
    direction: Sidedness = "two_sided"

    def __str__(self) -> str:
        where = [part for part in (self.budget, self.host, self.regime) if part]
        return self.term + (f" ({', '.join(where)})" if where else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Hypotheses that share one error rate.

    q: the false discovery rate (bh, by) or family-wise error rate (holm, hochberg, bonferroni). stopping_rule:
    when data collection ends. after: the id of the family that must be decided first, all of its hypotheses
    rejected (serial gatekeeping: then both may use their full rate). amends: the id this one replaces, and why.
    """

    id: str
    hypotheses: tuple[Hypothesis, ...]
    procedure: Procedure = "bh"
    q: float = 0.05
    role: Role = "primary"
    stopping_rule: str = ""
    after: str | None = None
    amends: str | None = None
    amendment_note: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            raise AnalysisError("a family needs an id")
        if not self.hypotheses:
            raise AnalysisError(f"family {self.id} has no hypotheses", fix="Name what will be tested before the data.")
        if len(set(self.hypotheses)) != len(self.hypotheses):
            raise AnalysisError(f"family {self.id} names a hypothesis twice", value=[str(h) for h in self.hypotheses])
        if self.procedure not in PROCEDURES:
            raise AnalysisError(f"family {self.id}: unknown procedure", value=self.procedure)
        require_probability(self.q, f"q of family {self.id}")
        if self.amends is not None and not self.amendment_note:
            raise AnalysisError(
                f"family {self.id} amends {self.amends} without a note", fix="Say why in `amendment_note`."
            )

    @property
    def digest(self) -> str:
        """sha256 of the declaration."""
        return digest(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One hypothesis after its family was tested. rejected: adjusted p at most q; never for a descriptive family."""

    hypothesis: Hypothesis
    p: float | None
    adjusted: float | None
    rejected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyResult:
    """The test of one family on one body of evidence (a digest of the records used)."""

    family: Family
    evidence: str
    decided: tuple[Decided, ...]

    @property
    def all_rejected(self) -> bool:
        """Whether every hypothesis was rejected, which opens the families declared `after` this one."""
        return all(d.rejected for d in self.decided)


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRegister:
    """Families in the order declared and what became of them."""

    families: tuple[Family, ...] = ()
    results: tuple[FamilyResult, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of all declarations (not of results): what a report quotes as its plan."""
        return digest(self.families)

    def family(self, id_: str) -> Family:
        """The family of that id. Raises AnalysisError that lists the known ones."""
        for family in self.families:
            if family.id == id_:
                return family
        raise AnalysisError(
            "no such family is registered", value=id_, fix=f"Known: {', '.join(f.id for f in self.families) or 'none'}."
        )

    def result(self, id_: str) -> FamilyResult | None:
        """What the family's test gave; None before it."""
        return next((r for r in self.results if r.family.id == id_), None)

    def declare(self, family: Family) -> FamilyRegister:
        """The register with one more family; declaring the very same family again changes nothing.

        Raises AnalysisError for an id in use by another declaration, for a hypothesis that an earlier family of
        the same standing already tests, for an unknown `after` or `amends`, and for an amendment of a tested
        family.
        """
        known = next((f for f in self.families if f.id == family.id), None)
        if known == family:
            return self
        if known is not None:
            tested = "after its data were seen" if self.result(family.id) else "after it was declared"
            raise AnalysisError(
                f"family {family.id} was edited {tested}",
                fix="Give it a new id, `amends` the old one and say why in the note.",
            )
        for other in (family.after, family.amends):
            if other is not None:
                self.family(other)
        if family.amends is not None and self.result(family.amends):
            raise AnalysisError(
                f"family {family.id} amends {family.amends}, which was tested already",
                fix="Test new hypotheses on new data.",
            )
        self._refuse_shared(family)
        return replace(self, families=(*self.families, family))

    def test(
        self, id_: str, p_values: Mapping[Hypothesis, float | None], *, evidence: str
    ) -> tuple[FamilyRegister, FamilyResult]:
        """The register after the family's one test, and the result.

        p_values: by hypothesis; a missing one counts as p = 1 in the family. evidence: digest of the records
        used; the same p-values from the same evidence are a recomputation, and give the same result.
        Raises AnalysisError for a second test, a p of a hypothesis not in the family, an amended family, and a
        family whose gate (`after`) is not open.
        """
        family = self.family(id_)
        self._refuse_closed(family)
        foreign = sorted(str(h) for h in set(p_values) - set(family.hypotheses))
        if foreign:
            raise AnalysisError(
                f"family {id_} does not contain {foreign}", fix="Report them as descriptive, without stars."
            )
        p = [p_values.get(h) for h in family.hypotheses]
        adjusted = adjust(p, family.procedure)
        may_reject = family.role != "descriptive"
        decided = tuple(
            Decided(hypothesis=h, p=raw, adjusted=a, rejected=may_reject and a is not None and a <= family.q)
            for h, raw, a in zip(family.hypotheses, p, adjusted, strict=True)
        )
        result = FamilyResult(family=family, evidence=evidence, decided=decided)
        earlier = self.result(id_)
        if earlier is None:
            return replace(self, results=(*self.results, result)), result
        if earlier != result:
            raise AnalysisError(
                f"family {id_} was tested already, on evidence {earlier.evidence[:12]}",
                value=evidence[:12],
                fix="Predeclare looks with group-sequential boundaries, or declare a new family for new data.",
            )
        return self, earlier

    def _refuse_shared(self, family: Family) -> None:
        amended = {f.amends for f in self.families} | {family.amends}
        for other in self.families:
            shared = sorted(str(h) for h in set(other.hypotheses) & set(family.hypotheses))
            if shared and other.role == family.role == "primary" and other.id not in amended:
                raise AnalysisError(
                    f"families {other.id} and {family.id} both test {shared} as primary",
                    fix="Test each hypothesis once: make the second family secondary, or an amendment of the first.",
                )

    def _refuse_closed(self, family: Family) -> None:
        later = next((f.id for f in self.families if f.amends == family.id), None)
        if later is not None:
            raise AnalysisError(f"family {family.id} was replaced by {later}", fix=f"Test {later}.")
        if family.after is None:
            return
        gate = self.result(family.after)
        if gate is None or not gate.all_rejected:
            state = "has not been tested" if gate is None else "did not reject all its hypotheses"
            raise AnalysisError(
                f"family {family.id} may be tested only after {family.after}, which {state}",
                fix="Describe it without a test, or split the error rate between the two in advance.",
            )
