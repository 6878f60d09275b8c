"""Read results.h5 with h5py and numpy alone, for a machine without gcd-hpc.

python read_results.py results.h5        lists the lowest structure of each [n]
python read_results.py results.h5 ID     prints one structure: atomic number, x, y, z in Å, eV

The atomic number is 0 in files of one element, which the attribute config of the file names.
"""

import sys

import h5py
import numpy as np


def main(path: str, name: str = "") -> None:
    """Print the lowest energies of a file, or the atoms of one structure."""
    with h5py.File(path) as file:
        text = {key: file["structures"][key].asstr()[:] for key in ("id", "status")}
        keys = ("n_index", "n_fraction", "gb_energy_j_m2", "excess_volume_a", "start", "num_atoms")
        rows = {key: file["structures"][key][:] for key in keys} | text
        if name:
            (row,) = np.flatnonzero(rows["id"] == name)
            part = slice(rows["start"][row], rows["start"][row] + rows["num_atoms"][row])
            print("# box in Å:", *file["structures/cell"][row], file["structures/tilt_a"][row])
            columns = [file["atoms"][key][part] for key in ("numbers", "positions", "energies_ev")]
            for number, place, energy in zip(*columns, strict=True):
                print(number, *map(repr, map(float, place)), repr(float(energy)))
            return
    order = np.argsort(np.where(rows["status"] == "ok", rows["gb_energy_j_m2"], np.inf))
    _, first = np.unique(rows["n_index"][order], return_index=True)
    print("[n], grain boundary energy in J/m^2, excess volume in Å, id")
    for row in order[first][rows["status"][order[first]] == "ok"]:
        print(*(rows[key][row] for key in (*keys[1:4], "id")))


if __name__ == "__main__":
    main(*sys.argv[1:])
