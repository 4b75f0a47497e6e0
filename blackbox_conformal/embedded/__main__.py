"""The embedded vendor as a process: prints its address as one line of JSON and serves until SIGTERM or Ctrl-C."""

import argparse
import json
import threading

from blackbox_conformal.embedded.embedded_server import VendorServer
from blackbox_conformal.support import local_servers


def main() -> None:
    """Serve until the process is told to end."""
    parser = argparse.ArgumentParser(prog="python -m blackbox_conformal.embedded", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    local_servers.add_option(parser)
    arguments = parser.parse_args()
    ended = local_servers.end_requested(while_stdin=arguments.while_stdin)
    with VendorServer(arguments.port) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        print(json.dumps({"url": server.url, "model": server.studio.tasks["upscale"].model}), flush=True)
        ended.wait()
        server.shutdown()


if __name__ == "__main__":
    main()
