"""Structures that exploration tries: changes of known structures, in-paintings, and fresh tries."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.config.guidance import asked_n_index
from gcd_hpc.engines.jobs import Anneal
from gcd_hpc.engines.local import Origin
from gcd_hpc.errors import StructureError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.candidates import new_candidate, with_structure
from gcd_hpc.search.archive import draw_parent
from gcd_hpc.search.moves import LOCAL_MOVES, SPECIES_MOVES, Move, Proposal, crossover, local_moves
from gcd_hpc.search.shares import shares
from gcd_hpc.search.tries import random_anneal, search_start
from gcd_hpc.search.windows import Parent, boundary_height, draw_window, recentred
from gcd_hpc.seeds import EXPLORE, generator
from gcd_hpc.stages.choosing import kept_chooser
from gcd_hpc.stages.population import Known, Population
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.makers import FRESH, INPAINT_NOISED, INPAINT_WINDOW, MODEL_MOVES
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2, lowest_nearby
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.sites import Sites

if TYPE_CHECKING:
    # A campaign without models explores without torch.
    from gcd_hpc.learning.painter import Painter

CROSSOVER = "crossover"
ANNEAL = "anneal"
OWN_KINDS = (*LOCAL_MOVES, ANNEAL, CROSSOVER, FRESH)
"""Kinds of moves, by the labels under which candidates are stored. SPECIES_MOVES follow them where
there are several elements.
"""
NUM_PARTNERS = 8
"""Structures of the archive that are drawn until one has the registry of the parent."""
WITH_SHIFT = 0.15
"""Share of the other local moves that also shift the upper grain."""
UNCHANGED = 0.75
"""Share of the moves of kind anneal in which nothing but the dynamics changes the structure. They
act on the atoms within the depth of a window of the boundary, between held grains.
"""
START_LOG_SNR = (-2.5, -0.5)
"""Lowest and highest lambda to which a structure is noised before a model restores it."""


@dataclass(frozen=True)
class Unrelaxed:
    """A structure to relax, as a row without results, and its annealing before that."""

    row: Candidate
    anneal: Anneal | None = None
    origin: Origin | None = None
    """The relaxed structure that a local move changed or whose boundary is annealed; None if its
    energies are not exact.
    """


@dataclass(frozen=True)
class Proposer:
    """Maker of the structures of one generation."""

    system: BoundarySystem
    population: Population
    known: Known
    run_dir: Path
    round: int

    def first(self, rng: np.random.Generator) -> Candidate | None:
        """A structure of the archive to start a chain from; None if nothing is known yet."""
        if not self.known.archive:
            return None
        return self._drawn(rng)

    def empty(self, index: int) -> Candidate:
        """Row ``index`` of the round, without a structure."""
        return new_candidate(self.system, "explore", index, self.round)

    def chosen(self, current: Candidate | None, index: int, rng: np.random.Generator) -> Unrelaxed:
        """Structure of move ``index``: one, or where the campaign ranks them, the best of several.

        Further ones are made by moves of the same kind, each with a random stream of its own.
        In-paintings are not ranked, because making one costs about as much as relaxing it.
        """
        first = self.propose(current, index, rng)
        chooser = kept_chooser(str(self.run_dir))
        if chooser is None:
            return first

        def another(number: int) -> Unrelaxed:
            own = generator(self.system.config.seed, EXPLORE, self.round, index, number)
            return self.propose(current, index, own, first.row.move)

        return chooser.lowest(
            chooser.num_of(first.row.move),
            first,
            another,
            row_of=lambda made: made.row,
            with_row=lambda made, row: replace(made, row=row),
            known_j_m2=self.known.lowest,
        )

    def propose(
        self,
        current: Candidate | None,
        index: int,
        rng: np.random.Generator,
        kind: str | None = None,
    ) -> Unrelaxed:
        """A structure for move ``index``: a change of the current one, or a fresh try.

        A current structure that cannot be changed gives an invalid row with the reason.

        Args:
            kind: of the move; drawn by the shares of the generation if not given.
        """
        if kind is None:
            kinds = list(self.probabilities)
            kind = str(rng.choice(kinds, p=list(self.probabilities.values())))
        row = self.empty(index)
        if current is None or kind == FRESH:
            search = self.system.config.search
            atoms, registry, anneal = search_start(self.system.frame, search, rng)
            fresh = Proposal(atoms.positions, registry, None, atoms.numbers)
            return self._made(row, FRESH, fresh, (), anneal)
        try:
            return self._changed(row, kind, current, rng)
        except StructureError as error:
            registry = np.asarray(current.registry_relaxed)
            same = Proposal(current.positions, registry, None, current.numbers)
            made = self._made(row, kind, same, (current.id,), None)
            return Unrelaxed(replace(made.row, status="invalid", reason=str(error)))

    def _changed(
        self, row: Candidate, kind: str, current: Candidate, rng: np.random.Generator
    ) -> Unrelaxed:
        """A change of a known structure.

        Raises:
            StructureError: if its slab cannot be brought back into the frame, because its boundary
                has spread into the outer layers, or if it has no boundary to change.
        """
        if kind in MODEL_MOVES:
            return self._inpainted(row, kind, current, rng)
        parent = self._parent(current)
        if kind == CROSSOVER:
            crossed = self._crossed(row, current, parent, rng)
            if crossed is not None:
                return crossed
            kind = str(rng.choice(list(self.local_moves)))
        explore = self.system.config.explore
        anneal = random_anneal(explore.md, rng) if kind == ANNEAL else None
        layer = None
        if kind == ANNEAL and rng.random() < UNCHANGED:
            proposal = Proposal(parent.positions, parent.registry, None, parent.species)
            height = boundary_height(parent, self.system.frame)
            layer = height - explore.window_depth, height + explore.window_depth
        else:
            change = str(rng.choice(list(self.local_moves))) if kind == ANNEAL else kind
            proposal = local_move(parent, change, self.system.frame, explore, rng)
        made = self._made(row, kind, proposal, (current.id,), anneal)
        # Energies belong to positions, so a parent that was moved back into the frame has none.
        is_in_place = np.array_equal(
            parent.positions, self.system.bicrystal.wrap(current.positions)
        )
        numbers = self.system.own_numbers(current.numbers)
        origin = Origin(current.positions, current.energies_ev, numbers, layer)
        return replace(made, origin=origin if is_in_place else None)

    def _crossed(
        self, row: Candidate, current: Candidate, parent: Parent, rng: np.random.Generator
    ) -> Unrelaxed | None:
        """The parent with a part of another structure of the archive; None if none was found.

        Most structures have another registry than the parent, and a part of the same structure
        would change nothing, so that several partners are drawn.
        """
        for _ in range(NUM_PARTNERS):
            partner = self._drawn(rng)
            same_n = partner.n_index == current.n_index
            if same_n and abs(partner.gb_energy_j_m2 - current.gb_energy_j_m2) < SAME_ENERGY_J_M2:
                continue
            proposal = crossover(parent, self._parent(partner), self.system.frame, rng)
            if proposal is not None:
                return self._made(row, CROSSOVER, proposal, (current.id, partner.id), None)
        return None

    @property
    def local_moves(self) -> Mapping[str, Move]:
        """Moves of one parent, by their labels."""
        return local_moves(len(self.system.bicrystal.elements))

    @cached_property
    def probabilities(self) -> dict[str, float]:
        """Probability of each kind of move in this generation."""
        explore = self.system.config.explore
        kinds = OWN_KINDS + (MODEL_MOVES if self.painter is not None else ())
        if len(self.local_moves) > len(LOCAL_MOVES):
            kinds += tuple(SPECIES_MOVES)
        least = dict.fromkeys(kinds, explore.least_share)
        least[ANNEAL] = max(explore.least_share, explore.anneal_share)
        return shares(self.known.history, least, explore.discount)

    @cached_property
    def painter(self) -> "Painter | None":
        """Painter with the model in use; None before the first one is trained or given.

        Models that were trained without known voxels as an input cannot change a part of a
        structure.
        """
        config = self.system.config
        has_model = self.round > 0 or config.model is not None
        if not has_model or config.diffusion.inpainting != "palette":
            return None
        from gcd_hpc.learning.painter import Painter
        from gcd_hpc.stages.sample import kept_sampler

        painter = Painter.of(kept_sampler(str(self.run_dir), self.round))
        num_plane = self.system.bicrystal.atoms_per_plane
        return painter.knowing({n / num_plane: one for n, one in self.known.lowest.items()})

    def _inpainted(
        self, row: Candidate, kind: str, current: Candidate, rng: np.random.Generator
    ) -> Unrelaxed:
        """The current structure with a part that the model generates anew."""
        painter = self.painter
        assert painter is not None, "in-painting is only drawn with a model"
        explore, sampling = self.system.config.explore, self.system.config.sampling
        parent = self._parent(current)
        window, start_log_snr = None, None
        if kind == INPAINT_WINDOW:
            window = draw_window(parent, self.system.frame, explore, rng)
        elif kind == INPAINT_NOISED:
            start_log_snr = float(rng.uniform(*START_LOG_SNR))
        # The model is asked for about as many atoms, and for less energy than is known with them.
        num_plane = self.system.bicrystal.atoms_per_plane
        n_index = (current.n_index + int(rng.integers(-1, 2))) % num_plane
        n_index = asked_n_index(self.system.config.guidance, n_index, num_plane)
        energy = lowest_nearby(dict(self.known.lowest), n_index, num_plane)
        target = energy - sampling.energy_margin_j_m2, n_index
        numbers = self.system.numbers_of(parent.positions, parent.species)
        sites = Sites(parent.positions, numbers)
        painted = painter.paint(sites, window, start_log_snr, target, rng)
        card = painter.model.card
        row = replace(
            row,
            version=card.version,
            model_sha256=card.sha256,
            target_energy_j_m2=target[0],
            target_n_fraction=n_index / num_plane,
            voxel_evaluations=painted.net_voxels,
        )
        sites = painted.sites
        proposal = Proposal(sites.positions, parent.registry, window, sites.numbers)
        made = self._made(row, kind, proposal, (current.id,), None)
        shortest = sampling.min_pair_distance * self.system.bicrystal.nearest_neighbor
        if made.row.closest_pair_a < shortest:
            reason = (
                f"closest pair {made.row.closest_pair_a:.2f} Å, expected at least {shortest:.2f} Å"
            )
            return Unrelaxed(replace(made.row, status="invalid", reason=reason))
        return made

    def _made(
        self,
        row: Candidate,
        kind: str,
        proposal: Proposal,
        parents: tuple[str, ...],
        anneal: Anneal | None,
    ) -> Unrelaxed:
        row = replace(row, move=kind, parents=" ".join(parents))
        positions = self.system.bicrystal.wrap(proposal.positions)
        numbers = self.system.own_numbers(proposal.species)
        made = with_structure(self.system, row, positions, proposal.registry, numbers=numbers)
        return Unrelaxed(made, anneal)

    def _drawn(self, rng: np.random.Generator) -> Candidate:
        """A random structure of the archive."""
        size = self.system.config.explore.archive_size
        id = draw_parent(self.known.archive, size, self.known.tried, rng)
        return self.population.candidate(id)

    def _parent(self, row: Candidate) -> Parent:
        parent = Parent(
            row.positions,
            excess_energies(vars(row)),
            np.asarray(row.registry_relaxed),
            self.system.own_numbers(row.numbers),
        )
        return recentred(parent, self.system.frame)


def local_move(
    parent: Parent, kind: str, frame: Frame, explore: ExploreConfig, rng: np.random.Generator
) -> Proposal:
    """A local move of a parent, sometimes together with a shift of its upper grain.

    Ground states of neighbouring [n] often have other registries, so that an atom more or less
    alone does not lead from one to the other.
    """
    window = draw_window(parent, frame, explore, rng)
    moves = local_moves(len(frame.bicrystal.elements))
    if rng.random() >= WITH_SHIFT or kind == "shift":
        return moves[kind](parent, frame, window, rng)
    moved = moves["shift"](parent, frame, window, rng)
    shifted = replace(parent, positions=moved.positions, registry=moved.registry)
    return replace(moves[kind](shifted, frame, window, rng), window=None)
