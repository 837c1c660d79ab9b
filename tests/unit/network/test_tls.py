"""The SSLContext that a client makes when it is given none."""

from __future__ import annotations

import pathlib
import sys

import pytest

from trio_h2ws._network.tls import default_context


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there, the system's own verifier decides")
def test_certifi_is_used_without_a_system_store(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    import certifi

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    context = default_context()
    assert context.cert_store_stats()["x509_ca"] == certifi.contents().count("BEGIN CERTIFICATE")


def test_sslkeylogfile_sets_the_key_log(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    assert default_context().keylog_filename == str(tmp_path / "keys.log")
