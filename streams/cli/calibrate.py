"""``vedette calibrate``: make the profile of a served model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def calibrate(
    model: Annotated[str, Parameter(help="name of the model, as events give it")],
    reference: Annotated[
        Path, Parameter(help="recording (*.parquet, *.arrow), or *.npz with x and scores")
    ],
    *,
    out: Annotated[Path, Parameter(help="directory of profiles, one subdirectory a model")],
    members: Annotated[
        Path | None,
        Parameter(help="*.npz with x: training inputs, kept as coarse sketches only"),
    ] = None,
    seed: Annotated[int, Parameter(help="of training and sampling")] = 0,
) -> None:
    """Learn a model's profile from benign traffic or from inputs and the model's answers.

    The profile is signed with the key in VEDETTE_HOME/keys; its public half is put beside the
    profiles as signing.pub.

    **Examples:**

    - `vedette calibrate digits benign.parquet --out profiles`: from a recording.

    - `vedette calibrate digits reference.npz --out profiles --members train.npz`: from arrays,
      with members of the training set to guard.
    """
    from rich.console import Console
    from rich.progress import Progress

    from config.settings import load_settings
    from streams.calibration import CalibrationOptions
    from streams.calibration import calibrate as run
    from streams.reference import read_reference

    settings = load_settings()
    options = CalibrationOptions(
        seed=seed,
        run_length_events=settings.detect.run_length_events,
        members=members,
        keys=settings.home / "keys",
    )
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        tasks = {
            stage: bar.add_task(stage, total=1.0)
            for stage in ("reading", "encoder", "profile", "report")
        }
        given = read_reference(reference, model)
        bar.update(tasks["reading"], completed=1.0)
        written = run(
            model,
            given,
            out,
            options,
            lambda stage, share: bar.update(tasks[stage], completed=share),
        )
    Console().print(f"profile of {model} in {written}, from {given.rows:,} interactions")
