"""What a campaign on one machine opens, imports and leaves behind, as it was seen while one ran
(``tests/smoke.py``): it trains with two processes and samples with two ranks.
"""

import ipaddress

import pytest

pytestmark = [pytest.mark.lammps, pytest.mark.mpi]


def is_loopback(ip: str) -> bool:
    """Also of an IPv4 address in a socket for both protocols."""
    address = ipaddress.ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_the_campaign_trains_with_several_processes_and_samples_with_mpi(smoke):
    """Else the tests below would look at less than a campaign."""
    for word in ("gcd_hpc.stages.train", "gcd_hpc.stages.sample", "mpiexec", "interchange"):
        assert any(word in command for command in smoke.commands), word


def test_every_listening_socket_is_bound_to_the_loopback_address(smoke):
    # The pools of workers and the two processes of the training listen.
    assert any("interchange" in name for name, _ in smoke.listening)
    assert any("gcd_hpc.stages.train" in name for name, _ in smoke.listening)
    assert {(name, ip) for name, ip in smoke.listening if not is_loopback(ip)} == set()


def test_modules_of_the_working_directory_are_not_imported(smoke):
    assert not smoke.executed.exists()


def test_nothing_is_left_in_the_temporary_folder(smoke):
    assert list(smoke.temporary.iterdir()) == []
