"""Golden files of this schema version: real structures, relaxed by LAMMPS. Later versions must read
them and find nothing wrong.

python -m tests.store.golden tests/store/golden_v7.h5 nial_sigma5
python -m tests.store.golden tests/store/golden_v7_leaning.h5 cu_sigma7_twist
"""

import shutil
import sys
import tempfile
from pathlib import Path

from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.boundary import prepare
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.store.run_directory import RunDirectory

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
TRIES = [
    "search.num_tries=3",
    "search.chunk_size=3",
    "search.md.probability=0",
]


def main(target: Path, campaign: str) -> None:
    """The first chunk of a search of three tries for the boundary of a campaign."""
    config = load_campaign(CAMPAIGNS / f"{campaign}.yaml", TRIES)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        RunDirectory(run_dir).config.write_text(dump(config))
        prepare(run_dir, config, CAMPAIGNS)
        search_chunk(folder, 0)
        worker_child(folder).close()
        shutil.copyfile(RunDirectory(run_dir).search_part(0), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
