"""The controller's side of the contract: what reads the topics of a site and says which call is in force.

The core is pure: messages and the time go in, the effective call of every approach comes out. Around it one thread
talks to the broker. All of a consumer that switches a lamp:

    from sirend import client

    consumer = client.Consumer(client.Topics("sirend", "main-5th"), ["north"], client.Keyring.read(Path("key")))
    with client.Subscription(MqttConfig(host="broker", port=8884, tls=...), consumer) as subscription:
        while True:
            for call in subscription.changes(timeout_s=0.2):
                lamp.value = call.is_active

``changes`` must be asked at least every second: it is what notices that a call has outlived its validity, with or
without a broker. Nothing here calls back on another thread.
"""

from sirend.client.consumer import Call, Consumer, Moment, Refusal
from sirend.client.keyring import Keyring
from sirend.client.statement import Fault, Statement
from sirend.client.subscription import Subscription
from sirend.publish.mqtt.topics import Topics

__all__ = ["Call", "Consumer", "Fault", "Keyring", "Moment", "Refusal", "Statement", "Subscription", "Topics"]
