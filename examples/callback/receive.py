# Takes callbacks, and prints those that are truly ours: CALLBACK_SECRET=whsec_... PORT=8090 python3 examples/callback/receive.py
import base64, hashlib, hmac, os, time
from http.server import BaseHTTPRequestHandler, HTTPServer

key = base64.b64decode(os.environ["CALLBACK_SECRET"].removeprefix("whsec_"))

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        id, at, signature = (self.headers.get(f"webhook-{name}", "0") for name in ("id", "timestamp", "signature"))
        mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(mac).decode()
        known = any(hmac.compare_digest(wanted, one) for one in signature.split(" "))  # two while the secret is changed
        good = known and abs(time.time() - int(at)) < 300
        self.send_response(204 if good else 401)
        self.end_headers()
        if good:
            print(body.decode(), flush=True)

HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8090"))), Receiver).serve_forever()
