"""The SMTP server that the tests send mail to: aiosmtpd, with STARTTLS and AUTH.

usage: server.py DIRECTORY PORT [CERTIFICATE KEY USER PASSWORD]

Each message that is taken becomes DIRECTORY/<number>.json. DIRECTORY/mode says what the server does:
accept, later (451), never (550), or stall: it takes the message and does not say so.
"""

import asyncio
import email
import email.policy
import json
import pathlib
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

directory = pathlib.Path(sys.argv[1])
port = int(sys.argv[2])
taken = len(list(directory.glob("*.json")))


def keep(record):
    global taken
    taken += 1
    half = directory / "half"
    half.write_text(json.dumps(record))
    half.rename(directory / f"{taken:05}.json")


class Handler:
    async def handle_DATA(self, server, session, envelope):
        mode = (directory / "mode").read_text().strip()
        with (directory / "attempts").open("a") as attempts:
            attempts.write(mode + "\n")
        if mode == "later":
            return "451 4.3.0 come again"
        if mode == "never":
            return "550 5.1.1 nobody of that name"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        keep({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "body": message.get_content(),
            "raw": envelope.content.decode("ascii"),
            "tls": session.ssl is not None,
            "authenticated": bool(session.authenticated),
            "hello": session.host_name,
        })
        if mode == "stall":
            await asyncio.sleep(3600)
        return "250 2.0.0 taken"


arguments = {}
if len(sys.argv) > 3:
    certificate, key, user, password = sys.argv[3:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and data == LoginPassword(user.encode(), password.encode())
        return AuthResult(success=good, handled=False)

    arguments = {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }

controller = Controller(Handler(), hostname="127.0.0.1", port=port, ready_timeout=20, **arguments)
controller.start()
print("ready", flush=True)
controller._thread.join()
