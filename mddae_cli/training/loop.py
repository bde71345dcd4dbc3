"""The training loop: steps, epochs, the best and the newest checkpoint, resuming.

Every random draw depends on seed, purpose and step alone, so a run that is resumed from any
saved step ends with the same bytes as one that was never stopped.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mddae_cli import checkpoint, editing, runtime
from mddae_cli.calibration import calibrate_with_steps
from mddae_cli.config import ModelKind, TargetKind, TrainConfig
from mddae_cli.data.table import Table
from mddae_cli.errors import DivergedError, InterruptedRun, ModelError
from mddae_cli.header import LAST_FILE, MODEL_FILE, Header, read_header
from mddae_cli.model import AutoEncoder
from mddae_cli.reporting import Reporter
from mddae_cli.training.balance import Balance
from mddae_cli.training.batches import Batch, Batches
from mddae_cli.training.beside import both_on
from mddae_cli.training.descent import descend
from mddae_cli.training.erasing import can_erase, erase
from mddae_cli.training.known import Known, finer_by_labels, know_pictures
from mddae_cli.training.objective import Objective, StepLosses, frozen
from mddae_cli.training.runfolder import RunFolder
from mddae_cli.training.samples import SampleSheet
from mddae_cli.training.schedule import Position, Timetable, learning_rate
from mddae_cli.training.settling import can_settle, settle
from mddae_cli.training.validation import Validator

_LOSSES = StepLosses._fields
_NET, _AVERAGE, _OBJECTIVE, _OPTIMISER, _SUMS = (
    "net.",
    "average.",
    "objective.",
    "optimiser.",
    "sums",
)


@dataclass(frozen=True)
class TrainResult:
    """What a finished run leaves: its folder, the best model in it, and that model's figures."""

    run: Path
    model_file: Path
    epochs: int
    figures: dict[str, float]


class Trainer:
    """One run from its first or a saved step to its end.

    Args:
        config: The options.
        table: The data set they name.
        header: What the checkpoints will say.
        run: The run folder.
        reporter: Told about every step and epoch.
        stop: Asked after each step; True saves and ends the run.
    """

    def __init__(
        self,
        config: TrainConfig,
        table: Table,
        header: Header,
        run: RunFolder,
        reporter: Reporter,
        stop: Callable[[], bool],
    ) -> None:
        self.config, self.table, self.header, self.run = config, table, header, run
        self.reporter, self.stop = reporter, stop
        self.device = runtime.pick_device(config.device)
        self.autocast = runtime.pick_autocast(config.precision, self.device)
        torch.manual_seed(runtime.derive_seed(config.seed, "initialise"))
        self.net = runtime.place(AutoEncoder(header.model), self.device)
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self.still = frozen(self.net)
        self.both = both_on(self.device)
        self.objective = runtime.place(Objective(config, header), self.device)
        self.optimiser = torch.optim.AdamW(
            [*self.net.parameters(), *self.objective.parameters()],
            lr=config.lr,
            betas=(config.adam_beta1, config.adam_beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.batches = Batches(table, config, self.device)
        self.validator = Validator(table, header, self.device)
        self.samples = SampleSheet(table, header, self.device)
        self.timetable = Timetable(config, len(self.batches))
        self.position = Position()
        # Of each loss over the epoch so far, and the number of its steps.
        self.sums = torch.zeros(len(_LOSSES) + 1, dtype=torch.float64)
        # Of every training picture, once ŷ and observers no longer learn.
        self.known: Known | None = None

    def fit(self) -> TrainResult:
        """Run to the end and return what it left.

        Raises:
            InterruptedRun: After saving, when ``stop`` turned true.
            DivergedError: If a loss became NaN or infinite; the best checkpoint stays.
        """
        total = self.timetable.total_steps * self.batches.batch_size
        self.samples.write_example(self.run.example_file)
        self.reporter.started("train", total, "image")
        self.reporter.advanced(self.position.step * self.batches.batch_size, {})
        while not self.timetable.is_over(self.position):
            self._epoch()
        self.reporter.finished()
        self._settle_best()
        self._erase_best()
        self._calibrate()
        best = read_header(self.run.path)
        epochs = -(-self.position.step // len(self.batches))
        return TrainResult(self.run.path, self.run.path / MODEL_FILE, epochs, best.figures)

    def _settle_best(self) -> None:
        """Make the best checkpoint's regression of the latent exact, and measure it again."""
        if not self._can_settle():
            return
        net, header = checkpoint.load(self.run.path)
        net = net.to(self.device)
        if not settle(net, self.batches.every_picture(mirrored=False)):
            return  # the run was over before
        header = header.with_figures(header.figures | self.validator.measure(net))
        checkpoint.save(self.run.path / MODEL_FILE, net, header)

    def _erase_best(self) -> None:
        """Take away what the spread of the best checkpoint's z tells of ŷ.

        Its decoder is given what it was given before: nothing has to be practised. Figures stay:
        the error is the same, and the leak would be flattered, as it is read with the help of
        pictures that the erasure is fitted to.
        """
        if not can_erase(self.header.model):
            return
        net, header = checkpoint.load(self.run.path)
        net = net.to(self.device)
        if not erase(net, self.batches.every_picture(), len(self.batches.rows)):
            return  # the run was over before, or has too few pictures
        checkpoint.save(self.run.path / MODEL_FILE, net, header)

    def _calibrate(self) -> None:
        """Store steps beyond 1, and the unit of intensity, in the best checkpoint."""
        spec = self.header.model
        if spec.kind is ModelKind.AE or spec.target_kind is TargetKind.CLASSES:
            return
        best = editing.load(self.run.path, self.config.device, raw=True)
        seed, reporter = self.config.seed, self.reporter
        unit = calibrate_with_steps(best, self.table, seed=seed, reporter=reporter)
        header = dataclasses.replace(best.header, calibration=unit)
        checkpoint.replace_header(self.run.path, header, steps_of=best.net)

    def _epoch(self) -> None:
        """Train the rest of the epoch that the position is in, measure it, save it."""
        epoch, done = divmod(self.position.step, len(self.batches))
        learns_target, stopping = self.timetable.learns_target(self.position), False
        start, before, first = time.monotonic(), self.position.elapsed_s, self.position.step
        self._prepare(learns_target)
        for batch in self.batches.epoch(epoch, done, moved=learns_target):
            if self._settles_now(learns_target):
                self._settle()
            self._step(batch, learns_target)
            self.position.step += 1
            self.position.elapsed_s = before + time.monotonic() - start
            if learns_target:
                self.position.y_elapsed_s = self.position.elapsed_s
            stopping = self.stop()
            turns = learns_target and not self.timetable.learns_target(self.position)
            if stopping or turns or self.timetable.is_over(self.position):
                break
        if not self.config.ema:
            self._follow(self.position.step)
        over = self.timetable.is_over(self.position)
        if not over and self.position.step % len(self.batches):
            # Time ran out for ŷ or for the user; the rest of the epoch follows.
            self._save_state()
            if stopping:
                raise self._interrupted()
            return
        seconds = max(self.position.elapsed_s - before, 1e-9)
        images = (self.position.step - first) * self.batches.batch_size
        self._close_epoch(epoch, images / seconds, learns_target)
        if stopping and not over:
            raise self._interrupted()

    def _interrupted(self) -> InterruptedRun:
        return InterruptedRun(f"stopped after step {self.position.step} and saved.")

    def _prepare(self, learns_target: bool) -> None:
        """Set the networks' modes; after its own epochs ŷ keeps its averaged weights, frozen."""
        self.net.train()
        if self.timetable.progress(self.position) < self.config.settle:
            self.position.settled = False  # also where a resumed run has got more epochs
        self.net.z_norm.train(not self.position.settled)
        if learns_target:
            self._balance_labels()
            return
        if not self.config.y_epochs:
            return
        tower = self.net.target_tower
        if self.position.elapsed_s == self.position.y_elapsed_s:
            tower.load_state_dict(self.average.target_tower.state_dict())
        tower.requires_grad_(False).eval()
        self.objective.requires_grad_(False).eval()
        if self.known is None:
            self.known = self._know_pictures()

    def _balance_labels(self) -> None:
        """Weigh the labels that observers learn, where that is asked for and not done yet."""
        if self.table.kind is not TargetKind.ATTRIBUTES:
            return
        balances = self.objective.balances
        for index, largest in enumerate(self.config.observers_balance):
            if largest and balances[index] is None:
                labels = self.batches.every_label()[: len(self.batches.rows)]
                balances[index] = Balance(labels, largest)

    def _can_settle(self) -> bool:
        return bool(self.config.settle) and can_settle(self.header.model)

    def _settles_now(self, learns_target: bool) -> bool:
        if learns_target or self.position.settled or not self._can_settle():
            return False
        return self.timetable.progress(self.position) >= self.config.settle

    def _settle(self) -> None:
        """Make the regression of the latent exact, for the decoder to practise with."""
        settle(self.net, self.batches.every_picture(mirrored=False))
        self.position.settled = True
        self._prepare(learns_target=False)

    def _know_pictures(self) -> Known | None:
        """Return what the networks that will not change say of every training picture."""
        if self.config.cycle and self.config.cycle_detail:
            self.objective.practice.finer = finer_by_labels(self.batches)
        effects = bool(self.config.cycle_features)
        observers = list(self.objective.observers)
        return know_pictures(self.net, observers, self.batches, self.autocast, effects=effects)

    def _step(self, batch: Batch, learns_target: bool) -> None:
        progress, step = self.timetable.progress(self.position), self.position.step
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, progress)
        torch.manual_seed(runtime.derive_seed(self.config.seed, "dropout", step))
        x, y, picture = batch
        rng = runtime.generator(self.config.seed, "change", step)
        if learns_target:
            parts = self.objective.learn_target(self.net, x, y, rng=rng, autocast=self.autocast)
        else:
            parts = self.objective.parts(
                self.net,
                x,
                y,
                progress=progress,
                rng=rng,
                still=self.still,
                autocast=self.autocast,
                known=self.known and self.known.of(picture),
            )
        self.optimiser.zero_grad(set_to_none=True)
        losses = descend(parts, self.both)
        values = torch.stack(losses).cpu().double()
        self._check_finite(values)
        self.optimiser.step()
        if self.config.ema:
            self._follow(step)
        self.sums[:-1] += values
        self.sums[-1] += 1
        shown: dict[str, float | int] = dict(zip(_LOSSES, values.tolist(), strict=True))
        shown["epoch"] = step // len(self.batches) + 1
        shown["step"] = step + 1
        self.reporter.advanced(len(x), shown)

    def _check_finite(self, values: Tensor) -> None:
        if bool(values.isfinite().all()):
            return
        bad = [name for name, value in zip(_LOSSES, values, strict=True) if not value.isfinite()]
        kept = "the best checkpoint so far stays" if self.run.has_model() else "nothing was saved"
        raise DivergedError(
            f"loss {bad[-1]!r} became NaN or infinite at step {self.position.step}; {kept}. "
            "Try a smaller --lr or --gamma."
        )

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the averaged weights toward the newest ones, fast at first.

        Without averaging they become the newest, which is early enough after the last step.
        """
        decay = min(self.config.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(_floats(self.average), _floats(self.net), 1 - decay)

    def _close_epoch(self, epoch: int, images_per_s: float, learns_target: bool) -> None:
        figures = dict(zip(_LOSSES, (self.sums[:-1] / self.sums[-1]).tolist(), strict=True))
        self.sums.zero_()
        if learns_target:
            figures |= self.validator.measure_target(self.average)
        else:
            figures |= self.validator.measure(self.average)
            self._keep_if_best(epoch + 1, figures)
            self.samples.write(self.average, self.run.sample_file(epoch + 1))
        self._save_state()
        row = {
            "epoch": epoch + 1,
            "step": self.position.step,
            "elapsed_s": round(self.position.elapsed_s, 3),
            "images_per_s": round(images_per_s, 1),
        }
        self.run.append_metrics(row | figures)
        self.reporter.measured(row | figures)

    def _keep_if_best(self, epoch: int, figures: dict[str, float]) -> None:
        figures["val_loss"] = self._validation_loss(figures)
        if figures["val_loss"] < self.position.best_loss:
            self.position.best_loss = figures["val_loss"]
            best = self.header.with_figures({"epoch": epoch} | figures)
            checkpoint.save(self.run.path / MODEL_FILE, self.average, best)

    def _validation_loss(self, figures: dict[str, float]) -> float:
        """Return what decides which epoch is best: error plus leak above chance.

        Reconstruction alone would prefer the first epochs, while γ is still small and ŷ ignored.
        """
        leak = max(figures["leak_auroc"] - 0.5, 0.0) if self.config.gamma else 0.0
        return figures["val_rmse"] * (1 + leak)

    def _save_state(self) -> None:
        optimiser = self.optimiser.state_dict()
        tensors = {_SUMS: self.sums}
        for prefix, module in self._modules().items():
            tensors |= {prefix + name: value for name, value in module.state_dict().items()}
        for index, state in optimiser["state"].items():
            tensors |= {f"{_OPTIMISER}{index}.{name}": value for name, value in state.items()}
        checkpoint.save_state(self.run.path / LAST_FILE, tensors, vars(self.position))

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {_NET: self.net, _AVERAGE: self.average, _OBJECTIVE: self.objective}

    def restore(self) -> None:
        """Continue from the run folder's newest state.

        Raises:
            ModelError: If there is none, it is damaged, or another version wrote it.
        """
        tensors, facts = checkpoint.load_state(self.run.path / LAST_FILE)
        for prefix, module in self._modules().items():
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            try:
                module.load_state_dict(own)
            except RuntimeError as exc:
                raise ModelError(
                    f"{self.run.path / LAST_FILE} holds other weights than this version trains: "
                    "the run was begun by another one. Resume it with that, or train anew."
                ) from exc
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(_OPTIMISER):
                index, name = key.removeprefix(_OPTIMISER).split(".", 1)
                state.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        # A file holds no order of memory, and the fused optimiser goes by memory alone.
        for weight, moments in self.optimiser.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                moments[name] = torch.empty_like(weight).copy_(moments[name])
        self.sums = tensors[_SUMS]
        self.position = Position(**facts)
        self.run.drop_metrics_after(self.position.step)


def _floats(net: torch.nn.Module) -> list[Tensor]:
    """Return the weights and running statistics of a network."""
    return [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]
