"""``nonzero serve`` has a flag for every setting, and the settings judge what it says."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from nonzero import AdaGrad, LogisticRegression
from nonzero_service.cli import main
from nonzero_service.cli.serving import meanings
from nonzero_service.demo.process import ServerProcess
from nonzero_service.settings import Settings
from service.labelling import LABELLING


def serve(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exited:
        main(["serve", *map(str, arguments)])
    return int(exited.value.code or 0)


def test_every_setting_is_a_flag_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve("--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    told = meanings()
    for name in Settings.model_fields:
        meaning = " ".join(told[name].replace("`", "").split())
        assert f"--{name.strip('_').replace('_', '-')} {meaning}" in shown


def test_flags_environment_and_file_reach_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "nonzero.toml"
    config.write_text("bits = 9\nlearning_rate = 0.25\n")
    monkeypatch.setenv("NONZERO_LEARNING_RATE", "0.5")
    options = ["--config", str(config), "--bits", "12"]
    with ServerProcess("127.0.0.1", 0, tmp_path / "data", options) as server:
        answer = httpx.get(f"{server.url}/v1/models/default", trust_env=False)
    settings = answer.json()["settings"]
    assert settings == LogisticRegression(12, AdaGrad(learning_rate=0.5)).settings | LABELLING


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "port"),
        (["--bits", "many"], "bits"),
        (["--learning-rate", "fast"], "learning_rate"),
        (["--learning-rate", "0"], "learning_rate"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--bots", "3"], "--bots"),
        (["now"], "now"),
    ],
)
def test_a_wrong_flag_is_status_2_and_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert serve(*arguments) == 2
    assert said in capsys.readouterr().err


def test_a_trained_file_is_imported_at_the_first_start(tmp_path: Path) -> None:
    trained = LogisticRegression(6)
    trained.learn_one({"a": "b"}, 1)
    trained.save(tmp_path / "trained")
    with ServerProcess("127.0.0.1", 0, tmp_path / "data", ["--import", str(tmp_path / "trained")]) as server:
        answer = httpx.get(f"{server.url}/v1/models/default", trust_env=False).json()
    assert (answer["sequence"], answer["settings"]) == (1, trained.settings | LABELLING)


def test_what_no_prediction_needs_is_not_imported_before_the_first(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom nonzero_service.cli import main\n"
        "try: main(['serve', '--help'])\n"
        "except SystemExit: pass\n"
        "from nonzero_service.server import create_app, Settings\n"
        f"create_app(Settings.load(data_dir={str(tmp_path)!r}))\n"
        "print(sorted({'fastapi', 'httpx', 'numba', 'pydantic.v1', 'rich', 'scipy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
