"""``vedette producers``: the few lines of configuration that connect what exists already."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

#: What is shown of each producer; ``<kafka>``, ``<topic>`` and ``<intake>`` are filled in.
PRODUCERS: dict[str, str] = {
    "kserve": """\
# KServe: the inference logger posts CloudEvents to `vedette intake`. The token is the password
# of the URL, because the logger can send no header of its own. metadataHeaders tell who called.
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: my-model
spec:
  predictor:
    logger:
      mode: all
      url: http://vedette:<token>@<intake>/cloudevents
      metadataHeaders: [x-forwarded-for, x-user-id, user-agent]
# and for ingest, if a trusted gateway sets x-user-id:
# VEDETTE_INGEST__SOURCES='{"<topic>": {"client": ["metadata:x-user-id"]}}'
""",
    "knative": """\
# Knative: a KafkaSink writes events to the topic; binary and structured mode are both read.
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata:
  name: vedette
spec:
  topic: <topic>
  bootstrapServers: ["<kafka>"]
  contentMode: binary
""",
    "seldon": """\
# Seldon Core 2 writes every call to Kafka already: let ingest read a model's topics, both halves.
VEDETTE_INGEST__TOPICS='["seldon.prod.model.my-model.inputs",
  "seldon.prod.model.my-model.outputs", "seldon.prod.errors.errors"]'
VEDETTE_KAFKA__BOOTSTRAP_SERVERS=<kafka>
# if a trusted gateway names the caller in a header of the call:
# VEDETTE_INGEST__SOURCES='{"seldon.prod.model.my-model.inputs": {"client": ["header:x-user-id"]}}'
""",
    "mlserver": """\
# MLServer over Kafka (settings.json); let ingest read both topics.
{"kafka_enabled": true, "kafka_servers": "<kafka>",
 "kafka_topic_input": "mlserver-input", "kafka_topic_output": "mlserver-output"}
# VEDETTE_INGEST__TOPICS='["mlserver-input", "mlserver-output"]'
""",
    "litellm": """\
# LiteLLM config.yaml: the generic webhook posts every call to `vedette intake`.
litellm_settings:
  callbacks: ["vedette"]
callback_settings:
  vedette:
    callback_type: generic_api
    endpoint: http://<intake>/litellm
    headers:
      Authorization: Bearer <token>
# Texts are in clear on that way; turn_off_message_logging: true keeps them out altogether.
""",
    "envoy": """\
# Envoy AI Gateway: the JSON access log goes to Kafka by any log shipper; here Fluent Bit.
[INPUT]
    Name   tail
    Path   /var/log/envoy/ai-gateway.json
[OUTPUT]
    Name        kafka
    Match       *
    Brokers     <kafka>
    Topics      <topic>
    Format      raw
    Raw_Log_Key log
# VEDETTE_INGEST__SOURCES='{"<topic>": {"format": "envoy", "trusted_hops": 1,
#   "network": ["body:x-forwarded-for"]}}'
""",
    "otel": """\
# OpenTelemetry Collector: GenAI and OpenInference spans; otlp_json works too.
exporters:
  kafka/vedette:
    brokers: ["<kafka>"]
    traces:
      topic: <topic>
      encoding: otlp_proto
service:
  pipelines:
    traces/vedette:
      receivers: [otlp]
      exporters: [kafka/vedette]
""",
    "kafka-python": """\
from kafka import KafkaProducer  # acks=all is its default

producer = KafkaProducer(bootstrap_servers="<kafka>")
# body: {"request": <as the model got it>, "response": <as it answered>}
producer.send(
    "<topic>",
    key=client.encode(),
    value=body,
    headers=[
        ("ce_specversion", b"1.0"),
        ("ce_type", b"io.vedette.inference.v1"),
        ("ce_source", b"my-gateway"),
        ("ce_id", call_id.encode()),
        ("ce_client", client.encode()),
        ("ce_model", b"my-model"),
        ("ce_status", b"200"),
        ("content-type", b"application/json"),
    ],
)
""",
    "confluent": """\
from confluent_kafka import Producer

producer = Producer({"bootstrap.servers": "<kafka>", "enable.idempotence": True,
                     "partitioner": "murmur2_random"})  # one client, one partition, as in Java
producer.produce(
    "<topic>",
    key=client,
    value=body,
    headers={"ce_specversion": "1.0", "ce_type": "io.vedette.inference.v1",
             "ce_source": "my-gateway", "ce_id": call_id, "ce_client": client,
             "ce_model": "my-model", "ce_status": "200", "content-type": "application/json"},
)
producer.flush()
""",
    "aiokafka": """\
from aiokafka import AIOKafkaProducer

producer = AIOKafkaProducer(bootstrap_servers="<kafka>", acks="all", enable_idempotence=True)
await producer.start()
await producer.send_and_wait(
    "<topic>",
    key=client.encode(),
    value=body,
    headers=[("ce_specversion", b"1.0"), ("ce_type", b"io.vedette.inference.v1"),
             ("ce_source", b"my-gateway"), ("ce_id", call_id.encode()),
             ("ce_client", client.encode()), ("ce_model", b"my-model"),
             ("ce_status", b"200"), ("content-type", b"application/json")],
)
""",
}


def producers(
    name: Annotated[str | None, Parameter(help="one of them; without it, all are listed")] = None,
    /,
) -> None:
    """Print the configuration that connects a producer to this installation.

    **Examples:**

    - `vedette producers`: which there are.

    - `vedette producers litellm`: what to write into LiteLLM's `config.yaml`.
    """
    import sys

    from config.errors import ConfigError
    from config.settings import load_settings

    if name is None:
        sys.stdout.write("\n".join(PRODUCERS) + "\n")
        return
    if name not in PRODUCERS:
        raise ConfigError(f"there is no producer {name[:64]!r}; there are: {', '.join(PRODUCERS)}")
    settings = load_settings()
    sys.stdout.write(
        filled_in(
            PRODUCERS[name],
            kafka=settings.kafka.bootstrap_servers,
            topic=settings.ingest.topics[0],
            intake=f"{settings.intake.host}:{settings.intake.port}",
        )
    )


def filled_in(text: str, *, kafka: str, topic: str, intake: str) -> str:
    """Return a producer's text for one installation.

    Examples
    --------
    >>> filled_in("to <topic> on <kafka>", kafka="k:9092", topic="t", intake="i:1")
    'to t on k:9092'
    """
    for name, value in (("kafka", kafka), ("topic", topic), ("intake", intake)):
        text = text.replace(f"<{name}>", value)
    return text
