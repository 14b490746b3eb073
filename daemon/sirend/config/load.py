"""``load``, the only reader of YAML and environment: a file becomes ``settings``, or every problem in it at once."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from pathlib import Path

from sirend.config import array_settings, fields, listen_settings, yamlfile
from sirend.config.overwritten import overwritten
from sirend.config.settings import Config, ServerTlsConfig, TlsConfig, WebConfig
from sirend.config.whole import unfinished
from sirend.errors import ConfigError
from sirend.host.files import is_there


def load(path: Path | None, *, for_onlooker: bool = False, of_site: bool = True) -> Config:
    """Return the configuration in the YAML file ``path``, or the defaults when ``path`` is None.

    Relative file names in it are relative to its folder. Secrets may lack ``for_onlooker``: only root and the service
    can read them, and whoever just reads what the daemon tells does not need them. A file that is not ``of_site`` need
    not name one. Raises ``ConfigError`` with every
    problem at once.
    """
    if path is None:
        return Config()
    config, problems = examine(path, for_onlooker=for_onlooker, of_site=of_site)
    if problems:
        raise ConfigError(str(path), problems)
    return config


def examine(
    path: Path, text: str | None = None, *, for_onlooker: bool = False, of_site: bool = True
) -> tuple[Config, list[str]]:
    """Return what can be read of the file ``path``, with defaults for the rest, and every problem in it.

    ``text`` is what to take for the file's. Raises ``ConfigError`` when it cannot be read as a whole; see ``load``.
    """
    if text is None:
        text = yamlfile.read_text(path)
    content = yamlfile.parse(text, path)
    if content is None:
        raise ConfigError(str(path), ["is empty: it must name the site at least, site: NAME"])
    if isinstance(content, dict) and not of_site:
        content = {"site": Config().site, **content}
    problems: list[str] = []
    config = fields.read_mapping(Config, content, "", problems)
    config = _with_files(config, path.absolute().parent, problems, for_onlooker=for_onlooker)
    wrong = [problem.split(" ")[0] for problem in problems]  # what stands for these now is not what the user wrote
    doubts = [*_contradictions(config), *overwritten(config, path)]
    if (who := _who_acts(config)) is not None:
        doubts += unfinished(who, text, content)
    problems += [found for found in doubts if not any(key in found for key in wrong)]
    return config, problems


def _with_files(config: Config, folder: Path, problems: list[str], *, for_onlooker: bool) -> Config:
    """Return ``config`` with every file name made absolute."""

    def existing(name: Path | None, key: str, hint: str = "") -> Path | None:
        if name is None:
            return None
        found = folder / name
        if not is_there(found):
            problems.append(f"{key} is {str(name)!r}: there is no file {found}{hint}")
        return found

    def of_secret(name: Path | None, key: str) -> Path | None:
        if (credential := _credential(name)) is not None:
            return credential
        if for_onlooker or name is None:
            return plain(name)
        return existing(name, key, _where_credentials_are(name) if name.name == str(name) else "")

    def plain(name: Path | None) -> Path | None:
        return None if name is None else folder / name

    tls = config.mqtt.tls
    if tls is not None:
        tls = TlsConfig(
            ca_file=existing(tls.ca_file, "mqtt.tls.ca_file"),
            cert_file=existing(tls.cert_file, "mqtt.tls.cert_file"),
            key_file=of_secret(tls.key_file, "mqtt.tls.key_file"),
        )
    served = config.web.tls
    if served is not None:
        served = ServerTlsConfig(
            cert_file=existing(served.cert_file, "web.tls.cert_file"),
            key_file=of_secret(served.key_file, "web.tls.key_file"),
        )
    audio = dataclasses.replace(
        config.audio,
        credentials_file=of_secret(config.audio.credentials_file, "audio.credentials_file"),
        authority_file=existing(config.audio.authority_file, "audio.authority_file"),
    )
    return dataclasses.replace(
        config,
        audio=audio if config.array is None else array_settings.opened(config.array, audio),
        web=dataclasses.replace(config.web, tls=served, token_file=of_secret(config.web.token_file, "web.token_file")),
        detect=dataclasses.replace(config.detect, model=plain(config.detect.model)),
        journal=dataclasses.replace(config.journal, path=plain(config.journal.path)),
        clips=dataclasses.replace(config.clips, path=plain(config.clips.path)),
        listen=listen_settings.with_files(config.listen, of_secret),
        mqtt=dataclasses.replace(
            config.mqtt,
            tls=tls,
            password_file=of_secret(config.mqtt.password_file, "mqtt.password_file"),
            sign_key_file=of_secret(config.mqtt.sign_key_file, "mqtt.sign_key_file"),
        ),
    )


def _credential(name: Path | None) -> Path | None:
    """Return the systemd credential that ``name`` means, None where it means none that is there."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if name is None or not credentials or name.name != str(name):
        return None
    found = Path(credentials) / name
    return found if is_there(found) else None


def _where_credentials_are(name: Path) -> str:
    """Return what to add when there is neither a file nor a credential ``name``."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if not credentials:
        return "; for a systemd credential set CREDENTIALS_DIRECTORY=/etc/credstore"
    return f", and no credential {Path(credentials) / name}; the service gets it from /etc/credstore/{name}"


def repetition_s(hop_s: float) -> float:
    """Return how often a standing state is repeated, s: at the first window that ends 1 s after the last time."""
    hop_cs = round(hop_s * 100.0)  # ``hop_s`` is a multiple of 0.01
    return -(-100 // hop_cs) * hop_cs / 100.0


def _is_loopback(host: str) -> bool:
    """Return whether ``host`` is this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _who_acts(config: Config) -> str | None:
    """Return by which word of the file somebody acts on what another machine may say; None where nobody does."""
    if not config.call.advisory:
        return "call.advisory is false"
    return "listen has outputs" if config.listen.acts and not _is_loopback(config.mqtt.host) else None


def _contradictions(config: Config) -> list[str]:
    """Return a problem for each pair of keys that cannot both hold."""
    detect, call, mqtt = config.detect, config.call, config.mqtt
    problems = _misplaced(config)
    problems += listen_settings.listen_contradictions(config.listen, [approach.name for approach in config.approaches])
    if detect.enter is not None and detect.exit is not None and detect.exit >= detect.enter:
        problems.append(f"detect.exit is {detect.exit:g}: it must lie below detect.enter, {detect.enter:g}")
    if call.max_presence_s < call.min_duration_s:
        problems.append(
            f"call.max_presence_s is {call.max_presence_s:g}: "
            f"it must reach call.min_duration_s, {call.min_duration_s:g} s"
        )
    repeated_s = repetition_s(detect.hop_s)
    if call.valid_for_s < 2.0 * repeated_s:
        problems.append(
            f"call.valid_for_s is {call.valid_for_s:g}: a state is repeated every {repeated_s:g} s with this "
            f"detect.hop_s and must stay valid for twice that, {2.0 * repeated_s:g} s"
        )
    if mqtt.host.count(":") == 1:
        problems.append(f"mqtt.host is {mqtt.host!r}: the port belongs into mqtt.port")
    if mqtt.password_file is not None and mqtt.username is None:
        problems.append("mqtt.password_file is set: mqtt.username must be set as well")
    if mqtt.tls is not None and (mqtt.tls.cert_file is None) != (mqtt.tls.key_file is None):
        problems.append("mqtt.tls needs both of cert_file and key_file, or neither")
    if mqtt.tls is None and not mqtt.insecure and not _is_loopback(mqtt.host):
        problems.append(
            f"mqtt.host is {mqtt.host!r}: a plain connection leaves this machine readable and forgeable by anyone on "
            "the way; set mqtt.tls, or mqtt.insecure: true if the network is trusted"
        )
    web, metrics = config.web, config.metrics
    if web.enabled and metrics.enabled and web.port == metrics.port and web.bind == metrics.bind:
        problems.append(f"metrics.port is {metrics.port}: web.port has it already")
    if config.clips.enabled and config.clips.path is None:
        problems.append("clips.enabled is true: name the folder for them in clips.path")
    return problems + _viewing(config.web)


def _misplaced(config: Config) -> list[str]:
    """Return what is wrong with the approaches and the channels that they listen to."""
    audio = config.audio
    if config.array is not None:
        return array_settings.array_contradictions(config.array, config.approaches, audio.channels) + _named(config)
    problems = [
        f"approaches[{i}].channel is {approach.channel}: "
        f"with audio.channels {audio.channels} allowed is 0 to {audio.channels - 1}"
        for i, approach in enumerate(config.approaches)
        if approach.channel >= audio.channels and approach.device in (None, audio.device)
    ]
    urls = [("audio.device", audio.device)]
    urls += [(f"approaches[{i}].device", each.device) for i, each in enumerate(config.approaches) if each.device]
    problems += [
        f"{key} has a name or password in it, which is shown wherever the device is named: put NAME:PASSWORD into a "
        "file and its name into audio.credentials_file"
        for key, device in urls
        if dataclasses.replace(audio, device=device).is_network and "@" in device
    ]
    problems += _named(config)
    places = [(approach.device or audio.device, approach.channel) for approach in config.approaches]
    problems += [
        f"approaches[{i}].channel is {place[1]}: approaches[{places.index(place)}] has it already"
        for i, place in enumerate(places)
        if places.index(place) < i
    ]
    return problems


def _named(config: Config) -> list[str]:
    """Return what is wrong with the names of the approaches."""
    names = [approach.name for approach in config.approaches]
    twice = [
        f"approaches[{i}].name is {name!r}: approaches[{names.index(name)}] has it already"
        for i, name in enumerate(names)
        if names.index(name) < i
    ]
    return twice if names else ["approaches is empty: name at least one"]


def _viewing(web: WebConfig) -> list[str]:
    """Return what is wrong with who may see the page."""
    problems = []
    if web.tls is not None and (web.tls.cert_file is None or web.tls.key_file is None):
        problems.append("web.tls needs both of cert_file and key_file")
    if web.enabled and not _is_loopback(web.bind) and (web.token_file is None or web.tls is None):
        problems.append(
            f"web.bind is {web.bind!r}: others than this machine may look only with a token and encrypted; "
            "set web.token_file and web.tls, or web.bind: 127.0.0.1"
        )
    return problems
