"""Settings that everybody may write."""
from pyqmail.install import hands


def test_open_to_all(tmp_path):
    for name, mode in (("me", 0o644), ("rcpthosts", 0o666), ("locals", 0o664), ("tcp.smtp", 0o602)):
        (tmp_path / name).write_text("x\n")
        (tmp_path / name).chmod(mode)
    (tmp_path / "link").symlink_to("rcpthosts")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory").chmod(0o777)
    assert sorted(hands.open_to_all(str(tmp_path))) == [f"{tmp_path}/rcpthosts", f"{tmp_path}/tcp.smtp"]
    assert list(hands.open_to_all(str(tmp_path / "absent"))) == []
