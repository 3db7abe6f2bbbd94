"""The look of the report: one style sheet, light and dark on the screen, light on paper; the dashboard's colours."""

from __future__ import annotations

IND = {"light": "#0072b2", "dark": "#56b4e9"}
OOD = {
    "light": ("#d55e00", "#1a1a1a", "#ad0a7a", "#475c00", "#cc5cf5", "#995c52", "#3d3300"),
    "dark": ("#ff8a3d", "#f5f5f5", "#cf35ba", "#99ffad", "#8a50ee", "#ffadb8", "#e0e00a"),
}
_PLAIN = {
    "light": {
        "page": "#ffffff", "panel": "#f8f8f7", "text": "#2f2d2b", "muted": "#615f5b", "line": "#d6d4d0",
        "accept": "#2b9a5e", "reject": "#8c1238", "low": "164,18,63", "high": "47,138,196",
    },
    "dark": {
        "page": "#171614", "panel": "#22201d", "text": "#edebe8", "muted": "#b0ada6", "line": "#45433e",
        "accept": "#129a66", "reject": "#f52a33", "low": "194,38,79", "high": "47,138,196",
    },
}  # fmt: skip


def _variables(mode: str) -> str:
    named = {**_PLAIN[mode], "ind": IND[mode], **{f"ood{i}": colour for i, colour in enumerate(OOD[mode])}}
    return "".join(f"--{name}:{value};" for name, value in named.items())


STYLE = (
    f":root{{color-scheme:light dark;{_variables('light')}}}\n"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables('dark')}}}}}\n"
    """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:28px 24px 40px;background:var(--page);color:var(--text);
  font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6em;margin:0;line-height:1.2;overflow-wrap:anywhere}
h2{font-size:1.02em;margin:0 0 6px}
p{margin:0 0 6px}
.lead{margin:4px 0 0;color:var(--muted);overflow-wrap:anywhere}
.verdict{margin:12px 0 0;padding:10px 14px;border-left:4px solid var(--ind);background:var(--panel)}
.notes{margin:10px 0 0;padding:8px 14px 8px 30px;border-left:4px solid var(--reject);background:var(--panel)}
main{display:grid;grid-template-columns:repeat(24,minmax(0,1fr));gap:18px 22px;margin-top:18px}
section{grid-column:span 24;min-width:0;break-inside:avoid}
.half{grid-column:span 12}
.wide{grid-column:span 10}
.thin{grid-column:span 7}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 12px;margin:0}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
pre{margin:0;padding:8px 12px;background:var(--panel);white-space:pre-wrap;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:3px 8px 3px 0;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th{font-weight:600;color:var(--muted)}
th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere;min-width:8.6em}
th[scope=row]{font-weight:400;color:var(--text)}
td:not(.words){white-space:nowrap}
td.words,.said th{text-align:left}
small{display:block;color:var(--muted);font-size:.86em;white-space:nowrap}
.key{display:inline-block;width:1.5em;height:0;margin-right:.5em;vertical-align:.25em;border-top:3px solid}
.bad{color:var(--reject);font-weight:600}
.bad small{font-weight:400}
.counts small{display:inline;margin-left:.5em}
.caption{color:var(--muted);font-size:.88em;margin:4px 0 0}
.bar{display:block;position:relative;height:.7em;min-width:70px;
  background:linear-gradient(var(--line),var(--line)) 50%/1px 100% no-repeat}
.bar i{position:absolute;top:0;bottom:0;background:var(--ind)}
.bar i.minus{background:var(--reject)}
.matrix th+th,.matrix td{text-align:center;min-width:4.5em}
.matrix td{text-align:center;border:2px solid var(--page)}
.matrix th{font-weight:400;color:var(--text)}
.matrix td.own{outline:2px solid var(--text);outline-offset:-2px}
figure{margin:0}
svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
svg text{fill:var(--muted)}
svg .strong{fill:var(--text)}
svg .axis{stroke:var(--line);stroke-width:1;fill:none}
svg .chance{stroke:var(--muted);stroke-width:1;stroke-dasharray:2 4;fill:none}
svg .curve{fill:none;stroke-width:2;stroke-linejoin:round}
svg .threshold{stroke:var(--text);stroke-width:1.5}
svg .point{stroke:var(--page);stroke-width:1.5}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;grid-column:span 24;margin:0 0 -12px;padding:0;
  list-style:none;overflow-wrap:anywhere}
.legend svg{display:inline-block;width:30px;height:10px;margin-right:6px;vertical-align:middle}
.strips{display:grid;gap:10px}
.strip{display:grid;grid-template-columns:minmax(0,1fr) 2px minmax(0,1fr);gap:4px 10px}
.strip>i{background:var(--text)}
.strip h3{grid-column:1/-1;font-size:.92em;font-weight:600;margin:0}
.side{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:4px 8px;align-content:start}
.side.left{direction:rtl}
.side figure,.side p{direction:ltr}
.side p{grid-column:1/-1;margin:0;color:var(--muted);font-size:.88em}
.side.left p{text-align:right}
.side img{display:block;width:100%;max-width:84px;image-rendering:pixelated;border:1px solid var(--line)}
.side figcaption{font-size:.78em;line-height:1.25;color:var(--muted);overflow-wrap:anywhere}
footer{margin-top:18px;padding-top:8px;border-top:1px solid var(--line);color:var(--muted);font-size:.88em}
@media (max-width:760px){
  body{padding:18px 14px 30px}
  main{grid-template-columns:minmax(0,1fr)}
  section,.half,.wide,.thin,.legend{grid-column:1}
  .side{grid-template-columns:repeat(3,minmax(0,1fr))}
}
@page{size:A4;margin:9mm 10mm}
@media print{
  body{max-width:none;padding:0;font-size:6.8pt;line-height:1.28}
  main{gap:7px 16px;margin-top:6px}
  .verdict,.notes{margin-top:5px;padding:4px 10px}
  .notes{padding-left:24px}
  h2{margin-bottom:2px}
  th,td{padding:1px 6px 1px 0}
  .legend{margin:0 0 -5px}
  .strips{grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:16px}
  .side{grid-template-columns:repeat(4,minmax(0,1fr))}
  .side figure:nth-of-type(n+5){display:none}
  .scroll{overflow:visible}
  footer{margin-top:5px;padding-top:3px;font-size:6.1pt}
  footer p{margin:0 0 2px}
  pre{padding:3px 8px}
  *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
)
