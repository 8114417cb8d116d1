"""The codes FLW7xx: secrets, hosts, commands, patterns, look-alike names."""

from __future__ import annotations

from orchestrator.analysis.codes_table import ERROR, WARNING, CodeInfo, flow, table

SAFETY_CODES = table(
    CodeInfo(
        "FLW701",
        ERROR,
        "a secret that would leak",
        "A secret may stand only in the `with` of a call, where it is put in at the last moment. Everywhere else it would "
        "reach a title, an event, the state or the journal.",
        flow("""
secrets: [TOKEN]
outputs:
  token: str
steps:
  work:
    on: Start
    emit:
      event: Stop
      with:
        token: ${{ secrets.TOKEN }}
"""),
        flow("""
secrets: [TOKEN]
steps:
  work:
    on: Start
    call: http.get
    with:
      url: https://example.com
      headers:
        Authorization: Bearer ${{ secrets.TOKEN }}
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW702",
        ERROR,
        "a secret in the file",
        "This looks like a key or a password. Files are copied, committed and shown: name the secret and let the operator "
        "grant it.",
        flow("""
steps:
  work:
    on: Start
    call: http.get
    with:
      url: https://example.com
      headers:
        Authorization: Bearer sk-abcdefghijklmnopqrstuvwxyz
    emit: Stop
"""),
        flow("""
secrets: [TOKEN]
steps:
  work:
    on: Start
    call: http.get
    with:
      url: https://example.com
      headers:
        Authorization: Bearer ${{ secrets.TOKEN }}
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW703",
        ERROR,
        "a command made of data",
        "A command line with an expression in it lets whoever writes the data run commands. Pass data as arguments, in the "
        "environment, or on standard input.",
        flow("""
inputs:
  name: str
steps:
  work:
    on: Start
    call: process.run
    with:
      command: ["${{ inputs.name }}"]
    emit: Stop
"""),
        flow("""
inputs:
  name: str
steps:
  work:
    on: Start
    call: process.run
    with:
      command: [greet, "${{ inputs.name }}"]
    emit: Stop
"""),
        config='[process]\nallow = ["greet"]\n',
    ),
    CodeInfo(
        "FLW704",
        ERROR,
        "a pattern that may take for ever",
        "Patterns with nested repeats, look-around or back-references can hang on a short text, so they are refused.",
        flow("""
steps:
  work:
    on: Start
    call: llm.chat
    with:
      prompt: Name a colour.
      schema:
        type: object
        properties:
          colour: {type: string, pattern: "^(a+)+$"}
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    call: llm.chat
    with:
      prompt: Name a colour.
      schema:
        type: object
        properties:
          colour: {type: string, pattern: "^[a-z]+$"}
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW705",
        WARNING,
        "a host taken from data",
        "The host of this request comes from an event, a result or an answer. Whoever sends that data decides where the call "
        "goes. Write the host into the flow, or take it from `inputs`.",
        flow("""
events:
  Ping: {host: str}
inputs:
  host: str
steps:
  begin:
    on: Start
    emit: Ping
  work:
    on: Ping
    call: http.get
    with:
      url: https://${{ ev.host }}/status
    emit: Stop
"""),
        flow("""
inputs:
  host: str
steps:
  work:
    on: Start
    call: http.get
    with:
      url: https://${{ inputs.host }}/status
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW706",
        WARNING,
        "a secret without a value",
        "The flow uses a secret that has no value in this environment. A run that needs it would wait for a worker that has.",
        flow("""
secrets: [NOT_SET_ANYWHERE]
steps:
  work:
    on: Start
    call: http.get
    with:
      url: https://example.com
      headers:
        Authorization: Bearer ${{ secrets.NOT_SET_ANYWHERE }}
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    call: http.get
    with:
      url: https://example.com
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW707",
        WARNING,
        "a secret that nothing uses",
        "Ask only for what is needed: a secret that is granted can leak.",
        flow("""
secrets: [TOKEN]
steps:
  work:
    on: Start
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW708",
        WARNING,
        "a name that looks like another",
        "The name mixes letters of several scripts, or differs from another name only in letters that look the same.",
        flow("""
steps:
  wоrk:
    on: Start
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW709",
        WARNING,
        "a retry that may do it twice",
        "The callable is declared not idempotent: an attempt that failed may have done its work all the same. An `id` makes "
        "the repetition safe, because the key is sent along and the recorded result is used again.",
        flow("""
steps:
  work:
    on: Start
    call: http.post
    with:
      url: https://example.com/orders
    retry: {max: 3}
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    call: http.post
    with:
      url: https://example.com/orders
    id: ${{ run.id }}/order
    retry: {max: 3}
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW710",
        ERROR,
        "a webhook verified with an unknown secret",
        "The secret that signs the calls of a webhook must be one of the flow's `secrets`, so that an operator can grant it.",
        flow("""
triggers:
  - webhook: {path: /in, verify: {hmac: TOKEN, header: X-Signature}}
steps:
  work:
    on: Start
    emit: Stop
"""),
        flow("""
secrets: [TOKEN]
triggers:
  - webhook: {path: /in, verify: {hmac: TOKEN, header: X-Signature}}
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW711",
        WARNING,
        "a program or host that the project does not allow",
        "Programs run only if `[process] allow` names them, and addresses of this machine or of a private network are called "
        "only if `[http] allow_hosts` does. Where the project does not, the step fails.",
        flow("""
steps:
  work:
    on: Start
    call: http.get
    with: {url: "http://10.0.0.7/status"}
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    call: http.get
    with: {url: "https://status.example/"}
    emit: Stop
"""),
    ),
)
