"""What ``--help`` shows below the options: examples of each command, which a test parses, and the exit codes."""

WHOLE = """\
examples:
  sirend demo                                      hear a simulated drive-by, see it in demo-out/
  sirend replay --plot street.png street.wav       what would have been called in a recording?
  sirend check --config /etc/sirend/sirend.yaml    is the configuration right?
  sirend run --config /etc/sirend/sirend.yaml      listen and call, as the service does

exit codes: 0 ok, 64 usage, 66 input file, 69 device or broker, 70 bug, 78 configuration or model
"""

EXAMPLES = {
    "run": """\
examples:
  sirend run --config /etc/sirend/sirend.yaml      what the service does; SIGTERM clears every call and ends it
  kill -HUP PID                                    take up changed limits of calls (systemctl reload sirend)
""",
    "record": """\
examples:
  sudo systemctl stop sirend
  sudo sirend record --config /etc/sirend/sirend.yaml --hours 24 --out street    listens and calls, and keeps pieces
  sirend record --review --out street                                            label them: S, O or U
  sirend evaluate --data street                                                  what does the model make of them?
""",
    "replay": """\
examples:
  sirend replay street.wav                                    events on the standard output
  sirend replay --scores s.csv --plot p.png night.flac        every score, and a picture
  sirend replay --config site.yaml --mqtt drive-by.wav        and to the broker of a site

Any format, rate and channel count that libsndfile reads. A site with one microphone gets the average of all channels.
""",
    "simulate": """\
examples:
  sirend simulate out.wav --siren hilo --profile de --speed-kmh 50 --in-sight-m 200
  sirend simulate out.wav --siren-db 118 --street-db 72 --stop-line-m 20
  sirend simulate out.wav --wind-m-s 12 --windscreen-m 0.01   gusts about a bare capsule
  sirend simulate out.wav --snr-db -5 --background rain.wav --seed 7
  sirend simulate out.wav --approaches --leg east   four channels: north, east, south, west
  sirend simulate out.wav --array respeaker-4 --bearing-deg 90 --houses   an array in a street, it comes from the east
""",
    "check": """\
examples:
  sirend check --config /etc/sirend/sirend.yaml    exit code 78 and a line for each mistake, or what it amounts to
""",
    "doctor": """\
examples:
  sudo sirend doctor --config /etc/sirend/sirend.yaml                  beside the running service
  sudo systemctl stop sirend
  sudo sirend doctor --config /etc/sirend/sirend.yaml --stopped        every topic and the microphone
The report names no secret and no sound leaves the computer: it can be sent to support.
""",
    "selftest": """\
examples:
  sirend selftest --config /etc/sirend/sirend.yaml              and tell sirend/SITE/selftest
  sirend selftest --config /etc/sirend/sirend.yaml --no-mqtt    only print the result
""",
    "bearing": """\
examples:
  sudo systemctl stop sirend
  sudo sirend bearing --config /etc/sirend/sirend.yaml                          walk round it clockwise, clapping
  sudo sirend bearing --config /etc/sirend/sirend.yaml --expect 0,90,180,270    clap once in the north, the east, ...
  sirend bearing --config site.yaml --expect 0,120,240 --wav claps.wav          from a recording of all channels
exit code 78 names a heading, a geometry or channels that are wrong, 69 a microphone that is dead
""",
    "devices": """\
examples:
  sirend devices      put the name in quotes, or the usb: socket, into audio.device
  sirend devices rtsp://192.0.2.20/live --credentials camera.secret
""",
    "listen": """\
examples:
  sirend listen --config controller.yaml                       act as its section `listen` says
  sirend listen --config /etc/sirend/sirend.yaml --verify      refuse what is not signed; needs mqtt.sign_key_file
""",
    "fleet": """\
examples:
  sirend fleet --config city.yaml                              every site of the broker, those in trouble first
  sirend fleet --config city.yaml --filter degraded --follow   what is degraded, again and again
  sirend fleet --config city.yaml --sort floor --json          whose noise floor drifted most?
""",
    "monitor": """\
examples:
  sirend monitor --config /etc/sirend/sirend.yaml      needs web.enabled: it reads the page's stream
""",
    "events": """\
examples:
  sirend events --config /etc/sirend/sirend.yaml --since 2026-11-22      what happened since then (UTC)?
  sirend events --journal events.jsonl --type approaching --csv > calls.csv
""",
    "demo": """\
examples:
  sirend demo
  sirend demo --out pictures --model siren-9.0.0
""",
    "schema": """\
examples:
  sirend schema                      of events and states
  sirend schema health > health.json
""",
    "completion": """\
examples:
  sirend completion bash > /etc/bash_completion.d/sirend     for everyone, from the next shell on (as root)
  sirend completion zsh > ~/.zfunc/_sirend                   where fpath has ~/.zfunc
""",
    "pki": """\
examples:
  sirend pki init fleet
  sirend pki issue fleet broker mqtt.example.org --host 192.0.2.10
  sirend pki issue fleet site main-5th --renew
  sirend pki key main-5th.sign-key
""",
    "train": """\
examples:
  sirend train --data recordings --out siren-9.0.0
  sirend train --data recordings --out siren-9.0.0 --recipe models/recipe.yaml --teacher weights
""",
    "evaluate": """\
examples:
  sirend evaluate --lead                                                how early, in made-up streets; a minute or two
  sirend evaluate --lead 3 --data recordings --peer yamnet.tflite       in recorded ones too, beside YAMNet
  sirend evaluate --data recordings --set street --report build/report
""",
}
"""For each command."""
