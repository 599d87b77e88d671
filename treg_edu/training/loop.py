"""One training loop for all four networks: bf16 where the hardware has it, EMA, checkpoints that survive a kill, one bar."""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .. import checks, files

if TYPE_CHECKING:
    from accelerate import PartialState

__all__ = ["computing_clock", "fit", "learning_rate", "process"]


def has_bf16() -> bool:
    """Whether bf16 arithmetic is fast on this machine (a CUDA device that supports it, or a CPU with AVX-512 BF16 that torch may use)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def learning_rate(progress: float, peak: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a cosine to zero.  progress in [0, 1] → learning rate."""
    if progress < warmup:
        return peak * progress / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def computing_clock() -> float:
    """Seconds that this process has computed: on a CPU those of its main thread alone, so that waiting for a busy processor counts nothing.

    A GPU computes while the thread waits for it, so there it is the wall's clock.
    """
    return time.monotonic() if torch.cuda.is_available() else time.thread_time()


def process() -> "PartialState":
    """The state that accelerate has of this process, one of those that `accelerate launch` or `torchrun` started.

    Several processes without a GPU are told that they are on the CPU: accelerate would take each for the only one.
    """
    from accelerate import PartialState

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=several and not torch.cuda.is_available())


def fit(
    model: nn.Module,
    batch: Callable[[torch.Generator], Sequence[torch.Tensor]],
    out: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    peak: float,
    decay: float = 0.999,
    weight_decay: float = 0.01,
    seed: int = 0,
    checkpoint_every: float = 60,
    progress: bool = True,
) -> dict[str, float]:
    """Train `model`, and leave the exponential moving average of its weights in it.

    How long: either `minutes` of computing (`computing_clock`), in bf16 where that is fast; or so many `steps`, always in float32, so that
    the same machine finds the same weights again, however busy it is.

    model: a module whose forward takes tensors and returns the loss.  batch(generator) → those tensors, drawn from a CPU generator
    that depends on the seed, the process and the step alone, so that a resumed run sees what the uninterrupted one would have.
    out: a folder; `checkpoint.safetensors` in it is written every `checkpoint_every` seconds (beside, then renamed) and resumed
    from if it is there.  Runs on one CPU, one GPU, or in several processes under `accelerate launch` or `torchrun`; these average their
    gradients.
    Returns {"steps", "minutes", "loss"}.
    """
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel
    from tqdm.auto import tqdm

    checks.expect((minutes is None) != (steps is None), "steps", f"{steps} and minutes {minutes}", "one of the two")
    of_time = steps is None
    total = checks.number("minutes", minutes, least=0) * 60 if of_time else checks.integer("steps", steps)
    process()  # before the accelerator, which takes its device from there
    accelerator = Accelerator(mixed_precision="no")  # it has one precision in a process; ours is that of each training
    in_bf16 = of_time and has_bf16()
    optimizer = torch.optim.AdamW(model.parameters(), peak, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare = accelerator.unwrap_model(model)
    ema = EMAModel(bare.parameters(), decay=decay, use_ema_warmup=True, power=0.75)
    ema.to(accelerator.device)
    path = Path(out) / "checkpoint.safetensors"
    state = _load(path, bare, optimizer, ema) if path.exists() else {"step": 0, "seconds": 0.0, "loss": math.nan}

    done, saved = "seconds" if of_time else "step", state["seconds"]
    bar = tqdm(total=round(total), initial=round(state[done]), unit="s" if of_time else " steps", desc=Path(out).name, mininterval=5,
               disable=not (progress and accelerator.is_main_process))  # fmt: skip
    model.train()
    while state[done] < total:
        started = computing_clock()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(state[done] / total, peak)
        rank, ranks = accelerator.process_index, accelerator.num_processes
        generator = torch.Generator().manual_seed((seed * 1_000_003 + state["step"]) * ranks + rank)
        tensors = [tensor.to(accelerator.device) for tensor in batch(generator)]
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=in_bf16):
            value = model(*tensors)
        accelerator.backward(value)
        accelerator.clip_grad_norm_(bare.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(bare.parameters())

        value = value.item()  # waits for a GPU, so that the clock below has seen the step
        if not math.isfinite(value):
            came = f"a loss of {value} at step {state['step']} in {str(out)!r}"
            raise FloatingPointError(f"out: got {came}, expected a finite one; the last checkpoint there is whole")
        spent = accelerator.reduce(torch.tensor(computing_clock() - started, device=accelerator.device), "mean").item()
        state["loss"] = value if math.isnan(state["loss"]) else 0.99 * state["loss"] + 0.01 * value
        state["step"], state["seconds"] = state["step"] + 1, state["seconds"] + spent
        bar.n = round(state[done])
        bar.set_postfix(step=state["step"], loss=f"{state['loss']:.4f}", refresh=False)
        bar.update(0)
        if accelerator.is_main_process and state["seconds"] - saved > checkpoint_every:
            saved = state["seconds"]
            _save(path, bare, optimizer, ema, state)
    bar.close()
    if accelerator.is_main_process:
        _save(path, bare, optimizer, ema, state)
    accelerator.wait_for_everyone()
    ema.copy_to(bare.parameters())
    bare.eval()
    return {"steps": state["step"], "minutes": state["seconds"] / 60, "loss": state["loss"]}


def _save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Any, state: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{index}": value for index, value in enumerate(ema.shadow_params)}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
    metadata = {"state": json.dumps(state | {"ema_step": ema.optimization_step})}
    with files.written_beside(path) as beside:
        save_file({name: value.contiguous().clone() for name, value in tensors.items()}, beside, metadata)


def _load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Any) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # safe_open is no dict
        state = json.loads(file.metadata()["state"])

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    model.load_state_dict(part("model."))
    for shadow, value in zip(ema.shadow_params, (part("ema.")[str(i)] for i in range(len(ema.shadow_params)))):
        shadow.copy_(value)
    ema.optimization_step = state.pop("ema_step")
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in part("adam.").items():
        index, key = name.split(".")
        moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return state
