from kwaflux_testing.servers import RunningServer
from kwaflux_testing.pictures import plate
def test_it(server: RunningServer):
    with server.client() as c:
        r = c.render(plate(64,96), "soften")
        print(r.receipt, r.provenance, server.ring_files())
    print(server.log())
