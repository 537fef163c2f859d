"""Installs speechbrain_dfkd; the recipes and hparams are run from a clone."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "speechbrain_dfkd/__init__.py").read_text()
).group(1)

# eSpeak NG as a wheel: the demo corpus needs no download and no system package.
DEMO = ["espeakng-loader>=0.2.4"]
# Only the report of a comparison draws.
COMPARE = ["matplotlib>=3.8"]
# Only a comparison on a cluster submits.
CLUSTER = ["submitit>=1.5"]
TENSORBOARD = ["tensorboard>=2.14"]
TEST = ["pytest>=8", "pytest-xdist>=3.5", *COMPARE, *CLUSTER, *TENSORBOARD]
# The linters at the versions that SpeechBrain pins.
LINT = ["ruff==0.12.4", "yamllint==1.35.1", "codespell>=2.3.0"]

setup(
    name="speechbrain-dfkd",
    version=VERSION,
    description="Knowledge distillation of speech enhancement with SpeechBrain",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["speechbrain_dfkd", "speechbrain_dfkd.*"]),
    package_data={
        "speechbrain_dfkd.comparison": ["report.md.j2"],
        "speechbrain_dfkd.demo_corpus": ["spoken.yaml"],
        "speechbrain_dfkd.settings": ["keys.yaml"],
    },
    python_requires=">=3.10",
    install_requires=[
        # Hooks that it calls private are overridden.
        "speechbrain>=1.1,<1.2",
        # torchaudio has no release for torch 2.15 and would fail at import.
        "torch>=2.7.1,<2.15",
        "torchaudio>=2.7.1",
        "hyperpyyaml>=1.2.3",
        # torch requires it too: one command at a time in a run's folder.
        "filelock>=3.12",
        # torch requires it too: the text of a comparison's report.
        "jinja2",
        # SpeechBrain requires these too; they are imported here by name.
        "joblib",
        "numpy>=1.24",
        # The numbers of a comparison.
        "pandas>=2.2",
        "ruamel.yaml",
        "scipy",
        "soundfile",
        "tqdm",
        # The reference implementations of the two metrics that papers quote.
        "pesq>=0.0.4",
        "pystoi>=0.4.1",
    ],
    extras_require={
        "demo": DEMO,
        "compare": COMPARE,
        "cluster": CLUSTER,
        "tensorboard": TENSORBOARD,
        "test": TEST,
        "dev": DEMO + TEST + LINT,
    },
)
