"""An SNMP agent as two questions, through pysnmp (extra ``ntcip``): SET integers, GET integers."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from sirend.config.secrets import secret
from sirend.errors import ConfigError
from sirend.host.addresses import Addresses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sirend.config.listen_settings import NtcipConfig


class SnmpError(Exception):
    """The agent did not answer, or not as it should; the text is a predicate of the agent and has no secret."""


class Agent:
    """The SNMP agent of a controller. Lives on one asyncio loop."""

    def __init__(self, config: NtcipConfig) -> None:
        """Prepare to speak to it.

        Raises ``ConfigError`` when pysnmp is not installed or a secret cannot be read.
        """
        try:
            from pysnmp.hlapi.v3arch import asyncio as hlapi  # noqa: PLC0415  an extra, and slow to import
        except ModuleNotFoundError:
            raise ConfigError(
                "listen.ntcip", ["pysnmp is missing: sudo make install EXTRAS=ntcip, or make venv EXTRAS=ntcip"]
            ) from None
        self._hlapi: Any = hlapi
        self._config = config
        self._credentials = _credentials(hlapi, config)
        self._engine: Any = None
        self._addresses = Addresses(config.host, config.port, socket.SOCK_DGRAM)
        self._target: Any = None

    @property
    def patience_s(self) -> float:
        """How long a question may stay without an answer, s."""
        return self._config.timeout_s * (1 + self._config.retries)

    async def open(self) -> None:
        """Open the socket; raise ``SnmpError`` when the host has no address."""
        try:
            found = await asyncio.to_thread(self._addresses.find)
            address = next(place for family, place in found if family is socket.AF_INET)
            self._target = await self._hlapi.UdpTransportTarget.create(
                address, timeout=self._config.timeout_s, retries=self._config.retries
            )
        except StopIteration:
            raise SnmpError("has no address of IPv4") from None
        except Exception as error:  # noqa: BLE001  pysnmp raises errors of its own
            raise SnmpError(f"has no address: {getattr(error, 'strerror', None) or error}") from None
        self._engine = self._hlapi.SnmpEngine()

    def close(self) -> None:
        """Close the socket and forget what is known of the agent; the next question opens it anew.

        pysnmp keeps the address that a name had, and for v3 the agent's engine, its restarts and its clock, for ever:
        after another controller took its place, or the same one started again, no question is answered any more.
        """
        if self._engine is not None:
            self._engine.close_dispatcher()
            self._engine = None

    async def set(self, values: Mapping[str, int]) -> None:
        """Set integers by object identifier, all or none; raise ``SnmpError`` when the agent does not confirm it."""
        hlapi = self._hlapi
        objects = [hlapi.ObjectType(hlapi.ObjectIdentity(oid), hlapi.Integer32(value)) for oid, value in values.items()]
        await self._ask(hlapi.set_cmd, objects, list(values))

    async def get(self, oids: Sequence[str]) -> dict[str, int]:
        """Return integers by object identifier; raise ``SnmpError`` when one is missing."""
        hlapi = self._hlapi
        objects = [hlapi.ObjectType(hlapi.ObjectIdentity(oid)) for oid in oids]
        found = await self._ask(hlapi.get_cmd, objects, oids)
        try:
            values = {str(each[0]): int(each[1]) for each in found}
        except (TypeError, ValueError, AttributeError):  # noSuchObject and noSuchInstance are no integers
            raise SnmpError("has no such object: " + ", ".join(oids)) from None
        if list(values) != list(oids):  # a gateway that answers an older question, or of other rows
            raise SnmpError(f"answers for {', '.join(values) or 'nothing'}, asked for {', '.join(oids)}")
        return values

    async def _ask(self, command: Any, objects: list[Any], oids: Sequence[str]) -> Any:  # noqa: ANN401  pysnmp's
        if self._engine is None:
            await self.open()
        indication, status, index, found = await command(
            self._engine, self._credentials, self._target, self._hlapi.ContextData(), *objects, lookupMib=False
        )
        if indication:
            raise SnmpError(f"does not answer: {indication}")
        if status:
            place = oids[int(index) - 1] if 0 < int(index) <= len(oids) else "the request"
            raise SnmpError(f"refused {place}: {status.prettyPrint()}")
        return found


def _credentials(hlapi: Any, config: NtcipConfig) -> Any:  # noqa: ANN401  pysnmp's
    """Return who we are, in pysnmp's form."""
    if config.version != "v3":
        return hlapi.CommunityData(_text(config.community_file), mpModel=0 if config.version == "v1" else 1)
    auth = {"sha": hlapi.usmHMACSHAAuthProtocol, "sha256": hlapi.usmHMAC192SHA256AuthProtocol}[config.auth]
    if config.priv_file is None:
        return hlapi.UsmUserData(config.user, authKey=_text(config.auth_file), authProtocol=auth)
    return hlapi.UsmUserData(
        config.user,
        authKey=_text(config.auth_file),
        authProtocol=auth,
        privKey=_text(config.priv_file),
        privProtocol=hlapi.usmAesCfb128Protocol,
    )


def _text(path: Any) -> str:  # noqa: ANN401  ``config`` made sure that it is a path
    try:
        return secret(path).decode("ascii")
    except UnicodeDecodeError:
        raise ConfigError(str(path), ["the secret is not ASCII text"]) from None
