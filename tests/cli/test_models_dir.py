from pathlib import Path

import pytest

from cli.models_dir import VARIABLE, NoModelsDir, find_models_dir


def test_the_option_overrides_the_environment_which_overrides_the_default(tmp_path: Path) -> None:
    option, variable = tmp_path / "option", tmp_path / "variable"
    option.mkdir()
    variable.mkdir()
    default = tmp_path / "default"

    assert find_models_dir(option, {VARIABLE: str(variable)}, default).path == option
    assert find_models_dir(None, {VARIABLE: str(variable)}, default).path == variable
    assert find_models_dir(None, {VARIABLE: ""}, default).path == default
    assert find_models_dir(None, {}, default).path == default


def test_the_models_path_is_made_absolute_and_a_tilde_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    for written in ("models", "./models/", "~/models"):
        found = find_models_dir(None, {VARIABLE: written}, tmp_path)
        assert found.path == tmp_path / "models"
    assert VARIABLE in str(found)


def test_a_path_that_is_not_a_directory_is_rejected_with_the_name_of_its_setting(
    tmp_path: Path,
) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (tmp_path / "none", file, Path("~no-such-user/models")):
        with pytest.raises(NoModelsDir, match=VARIABLE):
            find_models_dir(None, {VARIABLE: str(path)}, tmp_path)
        with pytest.raises(NoModelsDir, match="--models-dir"):
            find_models_dir(path, {VARIABLE: str(tmp_path)}, tmp_path)
