"""Calls between rules: a rule is compiled once, and its callers call it by name.

numba puts a callee's code into every caller, and optimises it there again with all that is below it: the time to
compile grows with the depth of calls.  A rule with declared types needs none of that.  Its caller's machine code holds
only the name of an external symbol, as in C.  So that no symbol is ever missing, everything a rule calls is compiled or
loaded before the rule itself is.

Short rules still go into their callers: a call would cost more than they do.
"""

from __future__ import annotations

import dis
import functools
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding
import numba
from numba import types
from numba.core import cgutils, typing
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import TypingError
from numba.core.extending import models, register_model
from numba.core.imputils import user_function
from numba.core.registry import cpu_target

from numa_sim import rule_cache

OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "no_cfunc_wrapper": True}

_SELDOM = (100_000, 50, 1000)
"""Thresholds of the garbage collector while a rule compiles: by default it takes a tenth of that time."""
SHORT_CODE_BYTES = 1100
"""A rule with less bytecode than this, what it takes in included, is put into its callers."""

last_called_first = False
"""Order in which what a rule calls is compiled; two processes of either order share the work."""

declared_types: dict[str, types.Type] = {"int": types.int64, "bool": types.boolean, "float": types.float64}
"""numba's type of each annotation a rule may declare; `numa_sim.state.handle` adds ``Kernel``."""
_KERNEL = "Kernel"


def _declared_type(annotation: Any) -> types.Type | None:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    if text.startswith("tuple[") and text.endswith("]"):
        elements = [declared_types.get(element.strip()) for element in text[6:-1].split(",")]
        return None if None in elements else types.Tuple(elements)
    return declared_types.get(text)


def declared_signature(function: Callable[..., Any]) -> tuple[str, ...] | None:
    """Annotations of all parameters and of the answer, if they say all that the compiler must know; else None."""
    code = function.__code__
    names = (*code.co_varnames[: code.co_argcount], "return")
    if not all(name in function.__annotations__ for name in names):
        return None
    said = [function.__annotations__[name] for name in names]
    texts = tuple("None" if a is None else a if isinstance(a, str) else getattr(a, "__name__", str(a)) for a in said)
    known = [text == _KERNEL or _declared_type(text) is not None for text in texts[:-1]]
    answers = texts[-1] == "None" or _declared_type(texts[-1]) is not None
    return texts if all(known) and answers else None


class RuleType(types.Callable, types.Dummy):
    """numba's type of one declared rule."""

    def __init__(self, rule: DeclaredRule) -> None:
        super().__init__(name=f"rule {rule.symbol}")
        self.rule = rule

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """Signature of a call: the declared one, if whole numbers are passed where they are declared."""
        signature = self.rule.signature
        if kws or len(args) != len(signature.args):
            raise TypingError(f"{self.rule.symbol} takes {len(signature.args)} arguments, in order and without names")
        for given, wanted in zip(args, signature.args, strict=True):
            if not _fits(given, wanted):
                raise TypingError(f"{self.rule.symbol} is given {given} where its annotation says {wanted}")
        return signature

    def get_call_signatures(self) -> Any:
        """All signatures, and whether there could be more."""
        return [self.rule.signature], False

    def get_impl_key(self, sig: Any) -> Any:
        """What the code generator knows the rule as."""
        self.rule.teach_code_generator()
        return self.rule


def _fits(given: Any, wanted: Any) -> bool:
    if wanted in (types.int64, types.boolean):
        return isinstance(given, (types.Integer, types.Boolean))
    if wanted is types.float64:
        return isinstance(given, (types.Integer, types.Boolean, types.Float))
    return bool(types.unliteral(given) == wanted)


register_model(RuleType)(models.OpaqueModel)


class DeclaredRule:
    """A rule compiled once for the types its annotations declare."""

    is_rule = True

    def __init__(self, function: Callable[..., Any], into_callers: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.python_calls_it = False
        self._into_callers = into_callers
        declared = declared_signature(function)
        assert declared is not None
        self.symbol = f"{function.__module__}.{function.__qualname__}({', '.join(declared[:-1])}) -> {declared[-1]}"
        self._declared = declared
        self._compiled: Any = None
        self._has_entry_point = False
        self._being_visited = False
        self._taught = False

    def __call__(self, *args: Any) -> Any:
        """Run the rule; `numa_sim.compiled.entry` is the faster way."""
        return self.entry_point()(*args)

    @property
    def _numba_type_(self) -> RuleType:
        return RuleType(self)

    @functools.cached_property
    def signature(self) -> Any:
        """Numba's signature of the rule."""
        *takes, answers = self._declared
        answer = types.none if answers == "None" else _declared_type(answers)
        return typing.signature(answer, *(_declared_type(text) for text in takes))

    @functools.cached_property
    def is_short(self) -> bool:
        """Whether the rule goes into its callers: it is a part, or a call would cost more than it does."""
        with self._refusing_circles():
            return _code_bytes(self.function) < SHORT_CODE_BYTES or self._into_callers

    def entry_point(self) -> Callable[..., Any]:
        """The compiled rule as Python calls it."""
        with global_compiler_lock:  # threads may each boot a machine
            self.python_calls_it = True
            self.load()
            if not self._has_entry_point:
                self._compiled = self._load_or_compile()
            return self._compiled.entry_point  # type: ignore[no-any-return]

    @global_compiler_lock
    def load(self) -> None:
        """Have the machine code of the rule, and of all it calls, in this process."""
        if self._compiled is not None:
            return
        with self._refusing_circles():
            load_called(self.function)
        self._compiled = self._load_or_compile()
        address = self._compiled.library.get_pointer_to_function(self._compiled.fndesc.llvm_func_name)
        llvmlite.binding.add_symbol(self.symbol, address)
        rule_cache.symbols.add(self.symbol)

    @contextmanager
    def _refusing_circles(self) -> Iterator[None]:
        if self._being_visited:
            raise RecursionError(f"rules may not call each other in a circle: {self.symbol}")
        self._being_visited = True
        try:
            yield
        finally:
            self._being_visited = False

    def _load_or_compile(self) -> Any:
        self._has_entry_point = self.python_calls_it
        kept = rule_cache.load(self.function, self.signature, "python")
        if kept is not None:
            self._has_entry_point = True
        elif not self.python_calls_it:
            kept = rule_cache.load(self.function, self.signature, "inner")
        if kept is not None:
            return kept
        rule_cache.about_to_compile()
        self._refuse_raise()
        compiled = self._compile()
        rule_cache.save(self.function, self.signature, "python" if self.python_calls_it else "inner", compiled)
        return compiled

    @global_compiler_lock
    def _compile(self) -> Any:
        # LLVM would leave long parts as functions of their own: a call, and twenty registers saved and restored.
        options = OPTIONS | {"no_cpython_wrapper": not self.python_calls_it, "forceinline": self._into_callers}
        dispatcher: Any = numba.njit(**options)(self.function)
        often = gc.get_threshold()
        gc.set_threshold(*_SELDOM)
        try:
            return dispatcher._compiler.compile(self.signature.args, self.signature.return_type)
        finally:
            gc.set_threshold(*often)

    def _refuse_raise(self) -> None:
        for instruction in dis.get_instructions(self.function):
            if instruction.opname == "RAISE_VARARGS":
                raise TypingError(f"{self.symbol} raises: callers would not notice, so rules answer with a number")

    def teach_code_generator(self) -> None:
        """Tell numba how a call of this rule is made."""
        if self._taught:
            return
        self._taught = True
        self.load()
        if self.is_short:
            call = user_function(self._compiled.fndesc, (self._compiled.library,))
        else:
            call = self._call
        cpu_target.target_context.insert_func_defn([(call, self, self.signature.args)])

    def _call(self, context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # Rules raise nothing and always answer, so what numba does in case they do not is left out: looking at the
        # status that comes back, and writing zeros to where answer and error will be.
        function_type = context.call_conv.get_function_type(signature.return_type, signature.args)
        function = cgutils.get_or_insert_function(builder.module, function_type, self.symbol)
        with builder.goto_entry_block():
            answer, error = (builder.alloca(place.pointee) for place in function_type.args[:2])
        packed = context.call_conv._get_arg_packer(signature.args).as_arguments(builder, args)
        builder.call(function, [answer, error, *packed])
        return context.get_returned_value(builder, signature.return_type, builder.load(answer))


def _code_bytes(function: Callable[..., Any]) -> int:
    """Bytecode of `function` and of all that is put into it."""
    total = len(function.__code__.co_code)
    for _, value in rule_cache.named(function):
        inner = rule_cache.embedded(value)
        if inner is not None and inner is not function:
            total += _code_bytes(inner)
    return total


def _called(function: Callable[..., Any], seen: set[int]) -> Iterator[DeclaredRule]:
    """Rules that the machine code of `function` calls by name."""
    for _, value in rule_cache.named(function):
        inner = rule_cache.embedded(value)
        if inner is None:
            if isinstance(value, DeclaredRule):
                yield value
        elif id(inner) not in seen:
            seen.add(id(inner))
            yield from _called(inner, seen)


def load_called(function: Callable[..., Any]) -> None:
    """Have every rule that `function` calls by name in this process, so that no symbol is missing."""
    called = list(_called(function, {id(function)}))
    for rule in reversed(called) if last_called_first else called:
        rule.load()


class OpenRuleCache:
    """Keeps the compiled variants of a rule whose types are known only from its calls, for numba's dispatcher."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The variant kept for these types, or None; all it calls is made ready either way."""
        load_called(self._function)
        kept = rule_cache.load(self._function, sig, "open")
        if kept is None:
            rule_cache.about_to_compile()
        return kept

    def save_overload(self, sig: Any, compiled: Any) -> None:
        """Keep a variant."""
        rule_cache.save(self._function, sig, "open", compiled)
