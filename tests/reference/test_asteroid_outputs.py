"""Our networks compute what Asteroid's do, with the weights of its files."""

import asteroid_outputs
import pytest
import torch

from speechbrain_dfkd.teacher.asteroid import conv_tasnet, dccrn, dptnet

FAMILIES = {"conv_tasnet": conv_tasnet, "dptnet": dptnet, "dccrn": dccrn}


def family_of(name):
    return next(f for key, f in FAMILIES.items() if name.startswith(key))


@pytest.mark.parametrize("name", asteroid_outputs.NETWORKS)
@torch.no_grad()
def test_output_is_asteroids(name):
    arguments, state, expected = asteroid_outputs.read(name)
    family = family_of(name)
    settings = family.settings(arguments)
    network = family.network(**settings)
    network.load_state_dict(family.weights(state, settings))
    wav = network.eval()(asteroid_outputs.noisy()).wav
    edge = asteroid_outputs.edge(arguments)
    inner = slice(edge, asteroid_outputs.LENGTH - edge)
    difference = (wav - expected)[:, inner].norm() / expected[:, inner].norm()
    assert difference < 1e-4


def test_every_file_has_its_network():
    files = {path.stem for path in asteroid_outputs.FOLDER.iterdir()}
    assert files == set(asteroid_outputs.NETWORKS)
