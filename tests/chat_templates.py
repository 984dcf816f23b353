"""Chat templates written for the tests in the style of published models: with tools, answer marks and reasoning."""

_TOOLS = (
    "{%- if tools %}"
    "{{- '<|im_start|>system\n' }}"
    "{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}"
    "{{- '# Tools\n<tools>' }}"
    "{%- for tool in tools %}{{- '\n' + (tool | tojson) }}{%- endfor %}"
    "{{- '\n</tools><|im_end|>\n' }}"
    "{%- elif messages[0].role == 'system' %}"
    "{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}"
    "{%- endif %}"
)
_CALLS = (
    "{%- for tool_call in message.tool_calls or [] %}"
    "{%- set function = tool_call.function %}"
    "{{- '\n' if message.content or not loop.first }}"
    '{{- \'<tool_call>\n{"name": "\' + function.name + \'", "arguments": \' }}'
    "{{- function.arguments | tojson }}"
    "{{- '}\n</tool_call>' }}"
    "{%- endfor %}"
)
_TOOL_TURN = (
    "{%- elif message.role == 'tool' %}"
    "{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}"
    "{{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}"
    "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}"
)
_PROMPT = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"

QWEN25_LIKE = (
    _TOOLS + "{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- elif message.role == 'assistant' %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{{- message.content or '' }}" + _CALLS + "{{- '<|im_end|>' }}"
    "{{- '\n' }}" + _TOOL_TURN + "{%- endif %}{%- endfor %}" + _PROMPT
)
"""Writes tools, tool calls and tool results as Qwen2.5's template does; omits unknown roles."""

QWEN25_MARKED = QWEN25_LIKE.replace(
    "{{- message.content or '' }}", "{%- generation %}{{- message.content or '' }}"
).replace("{{- '<|im_end|>' }}{{- '\n' }}", "{{- '<|im_end|>' }}{%- endgeneration %}{{- '\n' }}")
"""The same text, with the answers marked."""

QWEN3_LIKE = (
    _TOOLS + "{%- set ns = namespace(asked=-1) %}"
    "{%- for message in messages %}{%- if message.role == 'user' %}{%- set ns.asked = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- elif message.role == 'assistant' %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{%- if loop.index0 > ns.asked and (loop.last or message.reasoning_content) %}"
    "{{- '<think>\n' + (message.reasoning_content or '') + '\n</think>\n\n' }}"
    "{%- endif %}"
    "{{- message.content or '' }}"
    + _CALLS
    + "{{- '<|im_end|>\n' }}"
    + _TOOL_TURN
    + "{%- endif %}{%- endfor %}"
    + _PROMPT
)
"""Like Qwen3's template, writes the reasoning of answers after the last question, or an empty one for the last answer."""

ARGUMENTS_AS_TEXT = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function.name + ' ' + call.function.arguments }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Concatenates a call's arguments with text, as DeepSeek's template does. They must therefore be JSON text."""

SHORT_CALL_IDS = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content }}"
    "{% for call in message.tool_calls or [] %}"
    "{% if not call.id is defined or call.id | length != 9 %}{{ raise_exception('Ids have 9 characters') }}{% endif %}"
    "{{ call.function.name + '#' + call.id + (call.function.arguments | tojson) }}"
    "{% endfor %}"
    "{% if message.role == 'tool' %}"
    "{% if message.tool_call_id | length != 9 %}{{ raise_exception('Ids have 9 characters') }}{% endif %}"
    "{{ '#' + message.tool_call_id }}"
    "{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Accepts only ids of nine characters, as Mistral's templates do."""
