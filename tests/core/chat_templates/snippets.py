# SPDX-License-Identifier: Apache-2.0
"""Small templates, each about one piece of the language. Rendered by Jinja2 and by jinja_test."""

MESSAGES = [
    {"role": "system", "content": "  Be kind. "},
    {"role": "user", "content": "Hello, w\u00f6rld\n"},
    {"role": "assistant", "content": "Hi </s> 'there' \"you\""},
    {"role": "user", "content": "a,b,,c"},
]

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2
-7 // 2
7 // -2
7 % 3
-7 % 3
7 % -3
-7.5 % 2
7 / 2
8 / 2
2 ** 10
2 ** 3 ** 2
-2 ** 2
1.5 + 1
1e3
1e16
1e22
1.5e-7
0.1 + 0.2
123456789.123
100000.0
3.0
0x1F
0b101
0o17
1_000_000
1_0.5
not true
not not 1
1 and 2
0 and 2
1 or 2
0 or ''
none or 'x'
true and not false or false
1 < 2 < 3
1 < 2 > 3
1 == 1.0
1 == true
'1' == 1
'a' < 'b'
'a' < 'B'
'abc' < 'abd' <= 'abd'
[1, 2] < [1, 3]
(1, 2) == (1, 2)
(1, 2) == [1, 2]
{'a': 1} == {'a': 1}
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
none == none
none != false
1 in [1, 2]
3 not in [1, 2]
'el' in 'hello'
'' in 'hello'
'a' in {'a': 1}
1 in {'a': 1}
'a' in ('a', 'b')
'x' in undefined_name
not 'x' in 'y'
'a' ~ 1 ~ 2.5 ~ none ~ true
'a' ~ undefined_name ~ 'b'
1 + 2 ~ 3 + 4
'a' 'b' "c"
'a' + 'b'
'ab' * 3
3 * 'ab'
'ab' * -1
[1] * 3
[1] + [2]
(1,) + (2,)
1 + 'a'
'a' + 1
none + 1
undefined_name + 1
undefined_name
undefined_name.attribute
undefined_name['item']
messages.nothing
messages.nothing.more
messages[99]
messages[99].role
messages[0].nothing
messages[0]['nothing']
messages[0].nothing.more
none.attribute
none['x']
tools.name
(1).attribute
'abc'.nothing
'abc'['nothing']
true
True
false
none
None
[1, 'a', none, 2.5, [true]]
{'a': 1, "b": [1, 2], 'c': {'d': none}}
{1: 'x', none: 2}
{}
[]
()
(1,)
(1, 2)
1, 2
'quote\'s'
"say \"hi\""
['quote\'s', "say \"hi\"", "both ' and \""]
['tab\t', 'line\n', 'back\\slash', '\x00\x1f\x7f']
'\x41\u00e9\U0001F600\101\q'
['é', '\u00a0', '\u200b', '中']
'a\
b'
'abc'[0]
'abc'[-1]
'abc'[5]
'wörld'[1]
'abc'[1:]
'abc'[:-1]
'abc'[::-1]
'abcdef'[1:5:2]
'abcdef'[5:1:-2]
'abcdef'[-100:100]
'abcdef'[100:]
'wörld'[1:3]
'wörld'[::-1]
[1,2,3,4][1:]
[1,2,3,4][::2]
[1,2,3,4][::-1]
[1,2,3,4][-2:]
[1,2,3,4][3:1]
[1,2,3,4][::0]
(1,2,3)[1:]
[[1,2],[3,4]][1][0]
[1,2,3].1
{'a': {'b': 1}}.a.b
{'a': [1, 2]}['a'][-1]
{'a': 1}.b
{'items': 1}['items']
{'a': 1}.get('a')
{'a': 1}.get('b')
{'a': 1}.get('b', 'c')
{'a': 1, 'b': 2}.keys() | list
{'a': 1, 'b': 2}.values() | list
{'a': 1, 'b': 2}.items() | list
{'a': 1, 'a': 2}
'a' if true else 'b'
'a' if false else 'b'
'a' if false
('a' if false) is defined
'a' if false else 'b' if false else 'c'
1 if 1 else 2 if 0 else 3
messages | length
messages|length - 1
'wörld' | length
{} | length
undefined_name | length
5 | length
none | length
'  x ' | trim
'xxaxx' | trim('x')
'\u00a0\u3000x\u2003\x1f' | trim
5 | trim
none | trim
undefined_name | trim
'aBc' | upper
'aBc' | lower
'hELLO wORLD' | capitalize
'hello wORLD foo-bar (baz) o\'neil' | title
'hello wORLD o\'neil 3rd'.title()
'aBc' | upper | lower | capitalize
none | upper
[3, 1] | join
[3, 1] | join(', ')
['a', none, true] | join('-')
messages | join(', ', attribute='role')
'abc' | join('.')
undefined_name | join(',')
5 | join
'aaa' | replace('a', 'b')
'aaa' | replace('a', 'b', 2)
'aaa'.replace('a', 'b', 1)
'aaa'.replace('a', '')
'abc'.replace('', '-')
'wör'.replace('', '-')
'abc'.replace('', '-', 2)
'abc'.replace('x', '-')
5 | replace(5, 6)
[1, 2] | first
[1, 2] | last
[] | first
'abc' | first
'abc' | last
'' | first
{'a': 1} | first
messages | map(attribute='role') | list
messages | map(attribute='nothing') | list
messages | map(attribute='nothing', default='x') | list
['a ', ' b'] | map('trim') | list
['a', 'b'] | map('replace', 'a', 'c') | list
[[1, 2], [3, 4]] | map(attribute=1) | list
[[1, 2], [3, 4]] | map(attribute='0') | list
[{'a': {'b': 1}}] | map(attribute='a.b') | list
messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list
messages | selectattr('role', '==', 'user') | list | length
messages | rejectattr('role', 'equalto', 'user') | map(attribute='role') | list
messages | selectattr('role') | list | length
messages | selectattr('nothing', 'defined') | list
messages | rejectattr('nothing', 'defined') | list | length
messages | selectattr('role', 'in', ['user', 'system']) | list | length
[1, 2, 3, 4] | select('odd') | list
[1, 2, 3, 4] | reject('odd') | list
[0, 1, '', 'a'] | select | list
[1, 2, 3] | select('>', 1) | list
[1, 2, 3] | select('divisibleby', 3) | list
'abc' | list
{'a': 1} | list
undefined_name | list
undefined_name | default('x')
undefined_name | d
none | default('x')
none | default('x', true)
'' | default('x', boolean=true)
messages[0].nothing | default('x')
undefined_name.a | default('x')
'x' | string
5 | string
[1] | string
5 | int
'5' | int
' 5 ' | int
'+7' | int
'5.9' | int
5.9 | int
-5.9 | int
'x' | int
'x' | int(3)
none | int
'5.5' | float
'x' | float
5 | float
-5 | abs
-5.5 | abs
-5 | abs + 1
[1, 2] | reverse | list
'abc' | reverse
'a\nb\n\nc' | indent
'a\nb\n\nc' | indent(2)
'a\nb\n\nc' | indent(2, true)
'a\nb\n\nc' | indent(2, first=true, blank=true)
'a\nb' | indent('> ')
'a\n' | indent(2)
'' | indent(2, true)
{'b': 1, 'a': 2, 'C': 3} | dictsort
{'a': 1} | items | list
undefined_name | items | list
{'a': 1, 'b': [1, 2.5, none, true], 'c': {}, 'd': []} | tojson
{'a': 1, 'b': [1, 2.5, none, true], 'c': {}, 'd': []} | tojson(indent=2)
[] | tojson(indent=4)
[[], [1]] | tojson(indent=4)
'q"uo\'te\\ \n\t\x01\x7f é <b>&' | tojson
messages[2] | tojson
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
undefined_name | tojson
(1, 2) | tojson
'x' | safe
'a' | unknown_filter
'a' is unknown_test
unknown_function()
'a'.unknown_method()
'a' is defined
undefined_name is defined
undefined_name is undefined
undefined_name is not defined
undefined_name is none
none is none
none is not none
'a' is string
5 is string
undefined_name is string
{} is mapping
[] is mapping
[] is sequence
'a' is sequence
{} is sequence
5 is sequence
none is sequence
undefined_name is sequence
[] is iterable
'' is iterable
5 is iterable
none is iterable
undefined_name is iterable
true is true
1 is true
false is false
0 is false
none is false
true is boolean
1 is boolean
1 is number
1.5 is number
true is number
'1' is number
1 is integer
true is integer
1.5 is integer
1.5 is float
1 is odd
2 is even
3 is divisibleby 3
3 is divisibleby(2)
4 is eq 4
4 is equalto(5)
4 is gt 3
4 is lt 3
'a' is in ['a']
'a' is in 'abc'
'abc' is lower
'aBc' is lower
'ABC' is upper
range is callable
5 is callable
none is sameas none
'a' is defined and 'b' is string
'a' is not string or true
messages[0] is mapping
range(3) | list
range(1, 4) | list
range(4, 1, -1) | list
range(0, 10, 3) | list
range(0) | list
range(1, 2, 0) | list
range(100001) | list
range('a')
'  a b  '.strip()
'  a b  '.lstrip()
'  a b  '.rstrip()
'xyaxy'.strip('yx')
'xyaxy'.lstrip('x')
'éaé'.strip('é')
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a,b,,c'.rsplit(',', 1)
'a,b,,c'.split(',', maxsplit=2)
'  a  b c '.split()
'  a  b c '.split(none, 1)
'  a  b c '.rsplit(none, 1)
' a\u00a0b\u3000c '.split()
''.split()
''.split(',')
'a'.split('')
'abc'.split('abc')
'a\nb\r\nc\n'.splitlines()
'a\nb\r\nc\n'.splitlines(true)
'a\u2028b\x0bc\x85d'.splitlines()
'abc'.startswith('ab')
'abc'.startswith(('x', 'a'))
'abc'.endswith('bc')
'abc'.endswith('')
'abc'.startswith('abcd')
'abcabc'.removeprefix('abc')
'abcabc'.removesuffix('abc')
'abc'.removesuffix('x')
'abcabc'.find('c')
'abcabc'.rfind('c')
'wörld'.find('l')
'abc'.find('x')
'abcabc'.count('bc')
'aaa'.count('aa')
'wör'.count('')
', '.join(['a', 'b'])
', '.join([])
''.join(['a', 1])
'abc'.upper().lower().title()
'12'.isdigit()
'1a'.isdigit()
''.isdigit()
' \n'.isspace()
'ab'.isalpha()
'a1'.isalnum()
'AB1'.isupper()
'11'.isupper()
'ab'.islower()
'a'.strip(1)
'a'.split(1)
messages.append(1)
messages[0].update({})
messages[0].role.upper()
messages[1]['content'].strip().split()[-1]
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%A, %B %d, %y %j %I %p %a %u %w %F %T %%')
strftime_now('%-d %-m %-H')
strftime_now is defined
raise_exception('stop here')
raise_exception('stop ' ~ 1)
namespace(a=1).a
namespace({'a': 1}, b=2).b
namespace(a=1).b
namespace(a=1).b.c
dict(a=1, b='x')
dict({'a': 1}, a=2)
dict(a=1).a
bos_token + eos_token
pad_token
pad_token is defined
bos_token is defined
documents is none
messages[-1].content
messages[messages|length - 1]['content']
messages[1:][0].role
messages[-1:] | length
messages[0]['role'] == 'system' and messages[0]['content'] | trim
(messages[0].role == 'user') != (0 % 2 == 0)
-messages[0]
-'a'
+5
-true
5()
'a'()
none()
1 // 0
1 / 0
1 % 0
1.5 // 0
{[1]: 2}
[1, 2, 3
(1
'a
1 +
| upper
a b
1 2
1 if
x is
'a' | 
messages[
messages.
1..2
{'a' 1}
!true
a ? b
"unclosed
}}
""".strip("\n").split("\n")

# Continued lines: an entry that ends with a backslash goes on in the next.
_joined = []
for _line in EXPRESSIONS:
    if _joined and _joined[-1].endswith("\\"):
        _joined[-1] += "\n" + _line
    else:
        _joined.append(_line)

STATEMENTS = [
    # White space.
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}\n  b\n  {% endif %}\n  c\n",
    "a  {% if true %}  b  {% endif %}  c",
    "a\n  {%- if true -%}\n  b\n  {%- endif -%}\n  c\n",
    "a\n  {%+ if true +%}\n  b\n  {%+ endif +%}\n  c\n",
    "a \n {{- 1 -}} \n b {{ 2 }} \n c {{- 3 }} {{ 4 -}} d",
    "a {{+ 1 }} b",
    "  {{ 1 }}\n  {{ 2 }}\n",
    "a\n{# comment #}\nb",
    "a\n  {# comment #}  \nb",
    "a\n  {#- comment -#}  \nb",
    "a\n  {#+ comment +#}\nb",
    "a{# {{ not code }} {% if %} #}b",
    "a {# unclosed",
    "{% raw %}{{ x }} {% if %}{% endraw %}",
    "a\n  {% raw %}\n {{ x }}\n  {% endraw %}\n b",
    "a\n  {%- raw -%}\n {{ x }}\n  {%- endraw -%}\n b",
    "{% raw %}{% endraw",
    "{% raw %}{% endrawx %}{% endraw %}",
    "\n\n{% if true %}\n\nx\n\n{% endif %}\n\n",
    "x\n\n",
    "x\n",
    "x",
    "",
    "\n",
    "x\r\ny\rz\r\n",
    "{% if true %}\r\nx\r\n{% endif %}\r\n",
    "\t {% if true %}\tx{% endif %}\t\n\t{% if true %} y{% endif %}",
    "{% if true %}  {% if true %}x{% endif %}{% endif %}",
    "{% if true %}\n  {% if true %}x{% endif %}\n  {% endif %}",
    "{{ 1 }}  {% if true %}x{% endif %}",
    "{% set x = 1 %}  \n  {% set y = 2 %}\n{{ x }}{{ y }}",
    "a\u00a0\n\u2003{% if true %}x{% endif %}",
    "{{ {'a': {'b': 1}}['a'] }}",
    "{{ {'a':{'b':{}}}}}",
    "{{ '}}' }}{{ '%}' }}{% if '%}' %}x{% endif %}",
    "{ x } {x} { { } } % %} }} #}",
    "{",
    "x {",
    "{%",
    "{{",
    "{{ }}",
    "{% %}",
    "{%- -%}",
    "{{-}}",
    # if
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}",
    "{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}",
    "{% if undefined_name %}a{% else %}b{% endif %}",
    "{% if messages and messages[0]['role'] == 'system' %}yes{% endif %}",
    "{% if a, b %}tuple{% endif %}",
    "{% if 1 %}a",
    "{% endif %}",
    "{% else %}",
    "{% if %}a{% endif %}",
    "{% if 1 %}a{% else %}b{% else %}c{% endif %}",
    "{% if 1 %}a{% endfor %}",
    # for
    "{% for m in messages %}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for m in messages %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.length }}/{{ loop.first }}/{{ loop.last }} {% endfor %}",
    "{% for x in [1,2,3] %}{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }};{% endfor %}",
    "{% for x in [1] %}{{ loop.previtem is defined }}{{ loop.nothing is defined }}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}",
    "{% for x in [1,2] %}{% for y in [3] %}{{ loop.depth }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in [1,2,3,4] %}{{ loop.cycle('a','b') }}{% endfor %}",
    "{% for x in [1,2,3,4] if x % 2 == 0 %}{{ x }}:{{ loop.index }}/{{ loop.length }} {% endfor %}",
    "{% for x in [1,2] if x > 5 %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in [] %}{{ x }}{% else %}empty{% endfor %}",
    "{% for x in undefined_name %}{{ x }}{% else %}empty{% endfor %}",
    "{% for x in none %}{{ x }}{% endfor %}",
    "{% for x in 5 %}{{ x }}{% endfor %}",
    "{% for c in 'aé' %}[{{ c }}]{% endfor %}",
    "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in {'a': 1} | items %}{{ k }}={{ v }};{% endfor %}",
    "{% for (k, v) in [(1, 2)] %}{{ k }}{{ v }}{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}",
    "{% for a, b in [1] %}{{ a }}{% endfor %}",
    "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for x in [1,2,3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in [1,2,3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}",
    "{% for x in [1,2] %}{% for y in [1,2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in messages[::-1] %}{{ x.role }} {% endfor %}",
    "{% for x in [1,2] %}a{% endfor %}{{ x }}{{ loop }}",
    "{% for i in range(3) %}{% set x = i %}{% endfor %}{{ x }}",
    "{% set x = 0 %}{% for i in range(3) %}{{ x }}{% set x = i + 5 %}{{ x }} {% endfor %}{{ x }}",
    "{% set x = 0 %}{% for i in range(3) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% for x in [1] %}{% for x in [2] %}{{ x }}{% endfor %}{{ x }}{% endfor %}",
    "{% for m in messages %}{% set role = 'R' + m.role %}{{ role }} {% endfor %}{{ role }}",
    "{% for x in [3,4] %}{% if loop.first %}{% set first = x %}{% endif %}{{ first }}{% endfor %}",
    "{% break %}",
    "{% for x in %}{% endfor %}",
    "{% for in y %}{% endfor %}",
    "{% for x of y %}{% endfor %}",
    "{% for 1 in y %}{% endfor %}",
    "{% for x in y %}",
    "{{ loop.index }}",
    # set and namespace
    "{% set x = 1 %}{{ x }}{% set x = 2 %}{{ x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}",
    "{% set x %}a{{ 1 }}b{% endset %}[{{ x }}]",
    "{% set x | upper %}abc{% endset %}{{ x }}",
    "{% set x | trim | upper %} abc {% endset %}[{{ x }}]",
    "{% set ns = namespace(i=0) %}{% for x in [1,2,3] %}{% set ns.i = ns.i + x %}{% endfor %}{{ ns.i }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = ns.a + 1 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}",
    "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}",
    "{% set x = 1 %}{% set x.y = 2 %}",
    "{% set unknown_ns.y = 2 %}",
    "{% set d = {'a': 1} %}{% set d.a = 2 %}",
    "{% set %}",
    "{% set x = %}",
    "{% set 1 = 2 %}",
    "{% set messages = messages[1:] %}{{ messages[0].role }}",
    "{% if true %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% if false %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% set x = 'a' if tools else 'b' %}{{ x }}",
    "{% set x = (1, 2) %}{{ x }}{% set y = 1, %}{{ y }}",
    # macros
    "{% macro f(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(b=4, a=5) }}{{ f() }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}",
    "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% macro f() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}",
    "{% set x = 1 %}{% macro f() %}{% set x = 2 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}",
    "{% macro f() %}{{ messages | length }}{% endmacro %}{{ f() }}",
    "{% for i in [1] %}{{ f(i) }}{% endfor %}{% macro f(a) %}{{ a }}{% endmacro %}",
    "{% macro f(a) %} {{ a }} {% endmacro %}[{{ f('x') | trim }}][{{ f('x') ~ 'y' }}]",
    "{% macro f(a) %}{{ caller is defined }}{% endmacro %}{{ f is defined }}{{ f is callable }}",
    "{% macro f(a=1, b) %}{% endmacro %}",
    "{% macro f(a) %}",
    "{% for i in [1,2] %}{{ g(i) }}{% endfor %}",
    "{% macro f(a) %}{{ loop is defined }}{% endmacro %}{% for i in [1] %}{{ f(i) }}{% endfor %}",
    # with, filter, generation
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a }}{{ c }}",
    "{% set a = 5 %}{% with a = a + 1 %}{{ a }}{% endwith %}{{ a }}",
    "{% filter upper %}abc{{ 'd' }}{% endfilter %}",
    "{% filter trim | upper %} abc {% endfilter %}",
    "{% generation %}abc{% endgeneration %}",
    "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}",
    "{% unknown_tag %}",
    "{% include 'x' %}",
    # strings over lines, precedence
    "{{ 'a\nb' }}",
    "{{ 'a\r\nb' }}",
    "{{ 1\n+\n2 }}",
    "{{\n'x'\n}}",
    "{{ 'a' + 'b' | upper }}",
    "{{ ('a' + 'b') | upper }}",
    "{{ 'a' ~ 'b' | upper }}",
    "{{ -1 | abs }}",
    "{{ not 'a' == 'b' }}",
    "{{ 1 + 1 == 2 and 'x' }}",
    "{{ 'x' if 1 == 1 and 2 == 2 else 'y' }}",
    "{{ messages[0].content.strip() + '|' }}",
    "{{ (messages | first).role }}",
    "{{ messages | map(attribute='content') | map('trim') | join('|') }}",
    "{{ [messages[0]] == messages[:1] }}",
    "{{ 'Hello'[0] ~ 'Hello'[1:] }}",
    "{{ 1 is defined is true }}",
    "{{ messages[0]['role'] is string and messages[0]['x'] is not defined }}",
]

SOURCES = ["{{ " + e + " }}" for e in _joined] + STATEMENTS
