"""Time and peak memory of our networks, beside others of the same size.

    python benchmarks/models.py

Time: wall clock in this process, the implementations in turn (A B A B),
median over the rounds; the ratio is the median of each round's own ratio, so
that a busy machine disturbs it less. Memory: how far the peak resident memory
of a fresh process rises above what it holds once the model is built.

SpeechBrain's Conv-TasNet has no skip path, and 3.4 M parameters at the same
widths: to be of equal size, its blocks are 768 channels wide.
"""

import argparse
import functools
import importlib.util
import statistics
import sys
from pathlib import Path

import torch
from measure import in_fresh_process, median_ratio, rise_of_peak, time_in_turn
from sizes import load_network, load_sizes

from speechbrain_dfkd.evaluation.complexity import count_parameters

INSTALL = (
    "asteroid must be installed for the comparison, got none; run "
    "pip install --no-deps asteroid asteroid-filterbanks "
    "&& pip install requests soundfile, or leave it out with --ours_only"
)


def build_ours(name):
    """Return one of our networks, and how to enhance with it."""
    model = load_network(name)
    return model, lambda noisy: model(noisy).wav


def build_asteroid_dccrn():
    """Return Asteroid's DCCRN-CL, and how to enhance with it."""
    from asteroid.masknn import recurrent
    from asteroid.models import DCCRNet

    class WithPythonInteger(recurrent.DCCRMaskNetRNN):
        # It is given a numpy integer, which today's nn.LSTM refuses.
        def __init__(self, in_size):
            super().__init__(int(in_size))

    recurrent.DCCRMaskNetRNN = WithPythonInteger
    model = DCCRNet("DCCRN-CL")
    return model, lambda noisy: model(noisy)[:, 0]


def build_asteroid_conv_tasnet(**sizes):
    """Return Asteroid's Conv-TasNet, and how to enhance with it."""
    from asteroid.models import ConvTasNet

    model = ConvTasNet(1, kernel_size=32, stride=16, sample_rate=16000, **sizes)
    return model, lambda noisy: model(noisy[:, None])[:, 0]


def build_speechbrain_conv_tasnet():
    """Return SpeechBrain's Conv-TasNet, and how to enhance with it."""
    from speechbrain.lobes.models.conv_tasnet import MaskNet
    from speechbrain.lobes.models.dual_path import Decoder, Encoder

    encoder = Encoder(kernel_size=32, out_channels=512)
    masker = MaskNet(N=512, B=128, H=768, P=3, X=8, R=3, C=1)
    decoder = Decoder(512, 1, 32, stride=16, bias=False)

    def enhance(noisy):
        encoded = encoder(noisy)
        return decoder(encoded * masker(encoded)[0])

    return torch.nn.ModuleList([encoder, masker, decoder]), enhance


def build_asteroid_dptnet(**sizes):
    """Return Asteroid's DPTNet, and how to enhance with it."""
    from asteroid.models import DPTNet

    model = DPTNet(1, sample_rate=16000, **sizes)
    return model, lambda noisy: model(noisy[:, None])[:, 0]


# By the names of hparams/models/. Asteroid's DCCRNet has no smaller size.
OTHERS = {
    "dccrn_cl": {"asteroid": build_asteroid_dccrn},
    "conv_tasnet": {
        "asteroid": build_asteroid_conv_tasnet,
        "speechbrain": build_speechbrain_conv_tasnet,
    },
    "conv_tasnet_small": {
        "asteroid": functools.partial(
            build_asteroid_conv_tasnet,
            n_filters=128,
            bn_chan=32,
            hid_chan=128,
            skip_chan=32,
        )
    },
    "dptnet": {
        "asteroid": functools.partial(build_asteroid_dptnet, ff_hid=128)
    },
    "dptnet_small": {
        "asteroid": functools.partial(
            build_asteroid_dptnet,
            n_repeats=2,
            ff_hid=24,
            chunk_size=50,
            kernel_size=64,
            stride=32,
        )
    },
}
BUILDERS = {
    name: {"ours": functools.partial(build_ours, name), **others}
    for name, others in OTHERS.items()
}


def run_forward(model, enhance, noisy):
    """Enhance without gradients."""
    with torch.no_grad():
        enhance(noisy)


def run_step(model, enhance, noisy):
    """Enhance and compute the gradients of all parameters."""
    enhance(noisy).square().mean().backward()
    model.zero_grad()


WORK = {"forward": run_forward, "forward+backward": run_step}


def calls_of(systems, work, noisy):
    """Return the work of each system as a call without arguments."""
    return {
        name: functools.partial(work, *system, noisy)
        for name, system in systems.items()
    }


def memory_of(network, name, work, arguments):
    """Return the rise of the peak, from a fresh process."""
    command = ["--memory_of", network, name, work]
    for key in ("threads", "batch", "seconds"):
        command += [f"--{key}", str(getattr(arguments, key))]
    return in_fresh_process(Path(__file__), *command)


def compare(network, noisy, arguments):
    """Print time and memory of each implementation, and its ratio to ours."""
    builders = BUILDERS[network]
    if arguments.ours_only:
        builders = {"ours": builders["ours"]}
    systems = {name: build() for name, build in builders.items()}
    for label, work in WORK.items():
        times = time_in_turn(calls_of(systems, work, noisy), arguments.rounds)
        peaks = {n: memory_of(network, n, label, arguments) for n in systems}
        for name in systems:
            median = statistics.median(times[name])
            slower = median_ratio(times[name], times["ours"])
            larger = peaks[name] / peaks["ours"]
            print(
                f"{network:17} {label:17} {name:12} {median:7.3f} s "
                f"{peaks[name]:6.0f} MB  {slower:5.2f} {larger:5.2f} x ours"
            )


def tabulate_sizes(noisy, rounds):
    """Print parameters and times of every size."""
    models = load_sizes()
    systems = {
        name: (model, lambda x, model=model: model(x).wav)
        for name, model in models.items()
    }
    medians = {
        label: {
            name: statistics.median(times)
            for name, times in time_in_turn(
                calls_of(systems, work, noisy), rounds
            ).items()
        }
        for label, work in WORK.items()
    }
    print(f"{'size':18} {'parameters':>10}", *(f"{w:>18}" for w in WORK))
    for name, model in models.items():
        columns = (f"{medians[label][name]:16.3f} s" for label in WORK)
        print(f"{name:18} {count_parameters(model):10}", *columns)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument(
        "--networks", nargs="+", choices=BUILDERS, default=list(BUILDERS)
    )
    parser.add_argument(
        "--ours_only", action="store_true", help="without the others"
    )
    parser.add_argument(
        "--all_sizes", action="store_true", help="also time every size of ours"
    )
    parser.add_argument("--memory_of", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Run the benchmark."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    noisy = torch.randn(arguments.batch, int(16000 * arguments.seconds))
    if arguments.memory_of:
        network, name, work = arguments.memory_of
        system = BUILDERS[network][name]()
        print(rise_of_peak(lambda: WORK[work](*system, noisy)))
        return
    if not (arguments.ours_only or importlib.util.find_spec("asteroid")):
        sys.exit(INSTALL)
    print(
        f"torch {torch.__version__}, {arguments.threads} threads, "
        f"{arguments.batch} x {arguments.seconds} s"
    )
    for network in arguments.networks:
        compare(network, noisy, arguments)
    if arguments.all_sizes:
        tabulate_sizes(noisy, arguments.rounds)


if __name__ == "__main__":
    main()
