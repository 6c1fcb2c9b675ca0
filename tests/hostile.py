"""Requests as nobody means well with: parts of paths, hosts, and bytes that are no request at all.

All of it is data, and goes out as it stands: over a socket, for every client would mend some of it.
"""

#: Where a file lies that no path of a server must lead to, seen from a folder of the server.
_FILES = (b"etc/passwd", b"imbot.yaml")

#: How ``../`` is written, and what some server once took for it.
_UP = (
    *(b"../", b"..%2f", b"..%2F", b"%2e%2e/", b"%2e%2e%2f", b"%2E%2E%2F", b".%2e/", b"%2e./"),
    *(b"..\\", b"..%5c", b"..%5C", b"%2e%2e%5c", b"%2e%2e\\", b".\\./", b"..\\/"),
    *(b"..%252f", b"%252e%252e/", b"%252e%252e%252f", b"%25252e%25252e%25252f", b"..%255c"),
    *(b"..%c0%af", b"%c0%ae%c0%ae/", b"%c0%ae%c0%ae%c0%af", b"..%c1%9c", b"..%e0%80%af"),
    *(b"..%f0%80%80%af", b"..%fc%80%80%80%80%af", b"%e0%80%ae%e0%80%ae/", b"..%c0%2f"),
    *(b"..%bg%qf", b"..%u2215", b"%u002e%u002e/", b"%uff0e%uff0e%u2215", b"..%ef%bc%8f"),
    *(b"%ef%bc%8e%ef%bc%8e/", b"..%e2%88%95", b"..%e2%81%84", b"%e2%80%a5/", b"..%ef%bc%bc"),
    *(b"..;/", b"..;x=y/", b";/../", b"..%3b/", b"..%00/", b"..%0d/", b"..%0a/", b"..%09/"),
    *(b"....//", b"....\\/", b"..././", b"...//", b".../", b"..//", b"./../", b".//../"),
)

#: Parts of paths that lead, where somebody is careless, to a file or to another route.
TRAVERSALS: tuple[bytes, ...] = (
    *(up * 8 + _FILES[0] for up in _UP),
    *(up + _FILES[1] for up in _UP),
    # whole paths, devices, shares, other servers
    *(b"/etc/passwd", b"//etc/passwd", b"%2fetc%2fpasswd", b"%2f%2fetc/passwd", b"///etc///passwd"),
    *(
        b"C:\\Windows\\win.ini",
        b"c:/windows/win.ini",
        b"%63%3a%5cwindows%5cwin.ini",
        b"\\etc\\passwd",
    ),
    *(b"\\\\127.0.0.1\\c$\\x", b"//127.0.0.1/c$/x", b"%5c%5c127.0.0.1%5cc$%5cx", b"\\\\?\\C:\\x"),
    *(
        b"file:///etc/passwd",
        b"file:%2f%2f%2fetc%2fpasswd",
        b"php://filter",
        b"http://127.0.0.1:1/",
    ),
    *(b"/proc/self/environ", b"/proc/self/cmdline", b"/dev/stdin", b"CON", b"aux.txt", b"NUL"),
    # what cuts a name short
    *(b"imbot.yaml%00", b"imbot.yaml%00.json", b"../imbot.yaml%00.html", b"%00", b"%00/etc/passwd"),
    *(b"imbot.yaml%0a", b"imbot.yaml%20", b"imbot.yaml.", b"imbot.yaml::$DATA", b"imbot.yaml~"),
    *(b"imbot.yaml#x", b"imbot.yaml?x", b"imbot.yaml;x=y", b"imbot.yaml%23", b"imbot.yaml%3f"),
    # dots alone, and what other programs read in a name
    *(
        b".",
        b"..",
        b"...",
        b"%2e",
        b"%2e%2e",
        b"./",
        b"../",
        b"/",
        b"//",
        b"/.",
        b"/..",
        b"~",
        b"~root",
    ),
    *(
        b"*",
        b"?",
        b"[a-z]*",
        b"{a,b}",
        b"$HOME",
        b"${HOME}",
        b"$(id)",
        b"`id`",
        b"|id",
        b";id",
        b"%25",
    ),
    *(
        b"{{7*7}}",
        b"{session}",
        b"__init__.py",
        b".git/config",
        b".env",
        b"imbot.db",
        b"imbot.db-wal",
    ),
    *(b"%", b"%2", b"%zz", b"%ff", b"%c3%28", b"\xff\xfe", b"\xc0\xae\xc0\xae/", b"\xe2\x80\xa5/"),
    # other routes, by a way around
    *(
        b"../halt",
        b"..%2fhalt",
        b"%2e%2e/halt",
        b"../../../health",
        b"x/../halt",
        b"./halt",
        b"halt/.",
    ),
    # without end
    *(b"../" * 2000, b"%2e%2e%2f" * 700, b"A" * 7000, b"/" * 7000, b"%00" * 2000, b"a/" * 3000),
)

#: ``{port}`` is the server's own. None of them is a name of this machine.
HOSTS: tuple[bytes, ...] = (
    *(
        b"evil.example",
        b"evil.example:{port}",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
    ),
    *(b"evil.example:127.0.0.1", b"localhost@evil.example", b"evil.example@localhost"),
    *(
        b"localhost:{port}@evil.example",
        b"user:localhost",
        b"user@127.0.0.1",
        b"@localhost",
        b":@localhost",
    ),
    *(
        b"localhost.",
        b"127.0.0.1.",
        b"localhost.:{port}",
        b".localhost",
        b"localhost..",
        b"xlocalhost",
    ),
    *(b"localhost:{port}.evil.example", b"localhost:{port}:80", b"localhost:80:evil.example"),
    *(
        b"localhost:-1",
        b"localhost:+{port}",
        b"localhost:0x50",
        b"localhost: 80",
        b"localhost:80 "[:-1] + b"a",
    ),
    *(
        b"",
        b":",
        b":{port}",
        b"0.0.0.0",
        b"0",
        b"127.1",
        b"2130706433",
        b"0x7f000001",
        b"0177.0.0.1",
    ),
    *(
        b"127.0.0.2",
        b"127.0.0.01",
        b"192.168.0.1",
        b"169.254.169.254",
        b"[::]",
        b"::1",
        b"[::1",
        b"::1]",
    ),
    *(
        b"[::ffff:127.0.0.1]",
        b"[0:0:0:0:0:0:0:1]",
        b"[::1%25lo]",
        b"[::1]evil.example",
        b"[::1]:80:80",
    ),
    *(b"[::1].evil.example", b"[localhost]", b"[127.0.0.1]", b"[evil.example]:{port}"),
    *(
        b"localhost,evil.example",
        b"localhost evil.example",
        b"localhost\tevil.example",
        b"localhost/evil",
    ),
    *(
        b"localhost/../evil.example",
        b"localhost#evil.example",
        b"localhost?evil",
        b"localhost\\evil",
    ),
    *(b"localhost%00", b"localhost%00.evil.example", b"localhost%2eevil.example", b"%6cocalhost"),
    *(
        b"http://localhost",
        b"//localhost",
        b"localhost;x",
        b"*",
        b"*.localhost",
        b"imbot.example.evil.example",
    ),
    *("\u24dbocalhost".encode(), "localho\u017ft".encode(), "\uff4cocalhost".encode()),
    *(
        "localhost\u200b".encode(),
        "l\u043ecalhost".encode(),
        "127\u30020.0.1".encode(),
        b"\xff\xfe",
    ),
    *(b"localhost" * 300,),
)

#: Heads that must not be taken for one request, after a first line and a host. A body that hides a
#: second request follows each.
SMUGGLED: dict[str, bytes] = {
    "both lengths": b"Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n",
    "both lengths, the other way": b"Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: {n}\r\n",
    "two lengths in one": b"Content-Length: 0, {n}\r\n",
    "a length with a sign": b"Content-Length: +{n}\r\n",
    "a negative length": b"Content-Length: -1\r\n",
    "a length in words": b"Content-Length: 0x1\r\n",
    "a length with a line": b"Content-Length: 1_0\r\n",
    "a length of other digits": "Content-Length: ٣\r\n".encode(),
    "an empty length": b"Content-Length: \r\n",
    "a name that goes on": b"Content-Length : {n}\r\n",
    "a folded length": b"Content-Length:\r\n {n}\r\n",
    "a folded head": b"X-A: b\r\n Transfer-Encoding: chunked\r\n",
    "a tab that folds": b"X-A: b\r\n\tTransfer-Encoding: chunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked twice in one": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked and not last": b"Transfer-Encoding: chunked, identity\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "a tab before the coding": b"Transfer-Encoding:\x0bchunked\r\n",
    "a name of two words": b"Transfer Encoding: chunked\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n",
    "a head without a name": b": chunked\r\n",
    "a head without a colon": b"chunked\r\n",
    "a null in a head": b"X-A: a\x00b\r\n",
    "a bare return in a head": b"X-A: a\rTransfer-Encoding: chunked\r\n",
    "a chunk of no size": b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
    "a chunk of a negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a chunk of a size with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nA\r\n",
    "a chunk that goes beyond its size": b"Transfer-Encoding: chunked\r\n\r\n1\r\nAB\r\n",
    "a chunk of a size without end": b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n",
}

#: What would be a second line, in a path, a query or a head.
LINES: tuple[bytes, ...] = (
    *(b"\r\nX-Injected: yes", b"\nX-Injected: yes", b"\rX-Injected: yes", b"\r\n\r\n<script>"),
    *(
        b"%0d%0aX-Injected: yes",
        b"%0aX-Injected: yes",
        b"%0dX-Injected: yes",
        b"%0d%0a%0d%0a<script>",
    ),
    *(
        b"%250d%250aX-Injected: yes",
        b"%c0%8d%c0%8aX-Injected: yes",
        b"%e5%98%8d%e5%98%8aX-Injected: yes",
    ),
    *(
        b"%u000d%u000aX-Injected: yes",
        b"\xe5\x98\x8d\xe5\x98\x8aX-Injected: yes",
        b"\x85X-Injected: yes",
    ),
    *(
        b"\xe2\x80\xa8X-Injected: yes",
        b"\x0bX-Injected: yes",
        b"\x0cX-Injected: yes",
        b"\x00X-Injected: yes",
    ),
)
