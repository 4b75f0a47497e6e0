"""Run the embedded vendor: print its address as one line of JSON and serve until standard input closes.

Not here: the server itself (server.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from blackbox_conformal.vendor.server import VendorServer


def main() -> None:
    """Serve until standard input closes, so that the vendor never outlives whoever started it."""
    parser = argparse.ArgumentParser(prog="python -m blackbox_conformal.vendor", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    arguments = parser.parse_args()
    with VendorServer(arguments.port) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        print(json.dumps({"url": server.url, "model": server.studio.model}), flush=True)
        while sys.stdin.buffer.read(4096):
            pass
        server.shutdown()


if __name__ == "__main__":
    main()
