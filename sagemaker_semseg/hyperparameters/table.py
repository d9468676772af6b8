"""Defines every hyperparameter: name, type, range, default and meaning.

A row of the table is a field of ``Hyperparameters`` with its facts in the field's metadata. Checks, flags, the
documentation page and tuners are made from it. Names, ranges and defaults are those of SageMaker's algorithm; rows and
choices marked as extensions are this project's, and their defaults keep that algorithm's behavior.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Literal

from sagemaker_semseg.architectures import BACKBONES, DECODERS, VISIBLE_BACKBONES

Kind = Literal["integer", "number", "boolean", "choice", "integers", "weights", "scales", "names"]

# The original sets no upper end for whole numbers. This one is where the 32-bit counters of the libraries below would
# wrap around silently; no sensible value comes near it.
LARGEST_INTEGER = 2**31 - 1

MAX_CLASSES = 254
"""A mask has 256 values: labels are 0 to 253, and 255 means ignore."""


@dataclass(frozen=True)
class Interval:
    """A range of numbers.

    Attributes:
        low: the lower end; None is unbounded.
        high: the upper end; None is unbounded.
        low_open: whether ``low`` itself is outside of the range.
        high_open: whether ``high`` itself is outside of the range.
    """

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
            return False
        return self.high is None or not (value > self.high or (self.high_open and value == self.high))

    def __str__(self) -> str:
        low, high = ("<" if self.low_open else "<="), ("<" if self.high_open else "<=")
        if self.high is None:
            return "" if self.low is None else f"{'>' if self.low_open else '>='} {self.low:g}"
        if self.low is None:
            return f"{high} {self.high:g}"
        return f"{self.low:g} {low} x {high} {self.high:g}"


@dataclass(frozen=True)
class Hyperparameter:
    """One row of the table.

    Attributes:
        name: as SageMaker has it.
        group: the heading in flags and documentation.
        kind: the type of its values.
        default: the typed value when none is given; None for required ones and for ``num_training_samples``.
        required: whether a value has to be given.
        meaning: one or two sentences for users.
        interval: the range of a number, or of every entry of a list.
        choices: the values of a choice.
        added_choices: those of them that SageMaker's algorithm doesn't have.
        hidden_choices: values that are accepted too, but that no help text or document has; for tests.
        tunable: the range (or the choices) that SageMaker lets a tuner search; None if it may not be tuned.
        extension: whether SageMaker's algorithm doesn't have it.
    """

    name: str
    group: str
    kind: Kind
    default: Any
    required: bool
    meaning: str
    interval: Interval = Interval()
    choices: tuple[str, ...] = ()
    added_choices: tuple[str, ...] = ()
    hidden_choices: tuple[str, ...] = ()
    tunable: Interval | tuple[str, ...] | None = None
    extension: bool = False

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """A valid value in words, for messages: ``an integer > 16``."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        return {
            "boolean": "True or False",
            "integer": f"an integer {self.interval}",
            "number": f"a number {self.interval}",
            "integers": f"integers {self.interval} with commas between them, such as '10, 20'",
            "weights": f"nothing, 'auto' or one number {self.interval} for every class with commas between them",
            "names": "a name for every class, each another one, with commas between them, such as 'road,car'",
            "scales": f"numbers {self.interval} with commas between them, such as '0.75, 1, 1.25'",
        }[self.kind].rstrip()


def _row(group: str, kind: Kind, default: Any, meaning: str, **more: Any) -> Any:
    """Return a dataclass field that carries its row; with the default MISSING it is required."""
    required = default is MISSING
    row = Hyperparameter("", group, kind, None if required else default, required, meaning, **more)
    return field(default=default, metadata={"row": row})


_POSITIVE = Interval(0, low_open=True)
_NOT_NEGATIVE = Interval(0)
_FRACTION = Interval(0, 1)
_POSITIVE_FRACTION = Interval(0, 1, low_open=True)
_SIDE = Interval(16, low_open=True)


PRESETS: dict[str, dict[str, Any]] = {
    "original": {},
    "strong": {
        "lr_scheduler": "cosine",
        "ema_decay": 0.998,
        "dice_weight": 1.0,
        "color_jitter": 0.4,
        "class_balanced_crops": 0.5,
        "output_stride": "16",
    },
}
"""What the values of ``preset`` set, by name; measured by benchmarks/recipes.py."""


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """The checked hyperparameters of one training, made by ``resolve``; docs/hyperparameters.md describes each."""

    preset: str = _row(
        "Recipe",
        "choice",
        "original",
        "Defaults of a group of hyperparameters; each that is given wins. original: those of SageMaker's algorithm. "
        f"strong: {', '.join(f'{name} {value}' for name, value in PRESETS['strong'].items())}.",
        choices=tuple(PRESETS),
        extension=True,
    )

    algorithm: str = _row("Network", "choice", "fcn", "The decoder: FCN, PSPNet or DeepLabV3.", choices=tuple(DECODERS))
    backbone: str = _row(
        "Network",
        "choice",
        "resnet-50",
        "The encoder: a dilated ResNet of output stride 8. 18 and 34 are built of basic blocks, the others of "
        "bottlenecks.",
        choices=tuple(sorted(VISIBLE_BACKBONES, key=lambda name: BACKBONES[name].extension)),
        added_choices=tuple(name for name in VISIBLE_BACKBONES if BACKBONES[name].extension),
        hidden_choices=tuple(name for name, spec in BACKBONES.items() if spec.hidden),
    )
    use_pretrained_model: bool = _row(
        "Network",
        "boolean",
        True,
        "Start the backbone from ImageNet weights; the decoder always starts from random ones.",
    )
    new_head: bool = _row(
        "Network",
        "boolean",
        False,
        "With the channel model: start from that model but for the last convolution of the decoder and of the "
        "auxiliary head, which start from random weights. For other classes, of which there may be another number.",
        extension=True,
    )

    output_stride: str = _row(
        "Network",
        "choice",
        "8",
        "By how much the last features are smaller than the image, along a side. 16 trains and predicts faster than 8, "
        "and 32 faster still, with coarser edges.",
        choices=("8", "16", "32"),
        extension=True,
    )
    freeze_batch_norm: bool = _row(
        "Network",
        "boolean",
        False,
        "Keep the statistics, scales and shifts of the backbone's batch normalisation as the initial weights have "
        "them. For batches of a few images; requires initial weights.",
        extension=True,
    )
    freeze_backbone_epochs: int = _row(
        "Network",
        "integer",
        0,
        "Epochs at the start in which the decoder learns alone; requires initial weights.",
        interval=_NOT_NEGATIVE,
        extension=True,
    )

    num_classes: int = _row(
        "Data",
        "integer",
        MISSING,
        "Number of labels, background included: masks hold the labels 0 to num_classes - 1, and 255 where a pixel is "
        "to be ignored.",
        interval=Interval(2, MAX_CLASSES),
    )
    class_names: tuple[str, ...] = _row(
        "Data",
        "names",
        (),
        "Names of the classes from label 0 on, which are kept in the model. Masks that are read by their colours are "
        "numbered by them.",
        extension=True,
    )
    num_training_samples: int | None = _row(
        "Data",
        "integer",
        None,
        "Number of training images, which gives the length of an epoch in the learning-rate schedule. The original "
        "requires it; here it is counted when left out, which isn't possible in Pipe mode.",
        interval=_POSITIVE,
    )
    allow_doubtful_labels: bool = _row(
        "Data",
        "boolean",
        False,
        "Train or check although the labels look wrong: a split whose labelled pixels are all of one class, or a class "
        "that never occurs while 255, which is ignored, covers as much as a class would.",
        extension=True,
    )
    base_size: int = _row(
        "Data",
        "integer",
        520,
        "Each time an image is drawn its long side is resized to base_size times a random factor in scale_range, "
        "its shape kept.",
        interval=_SIDE,
    )
    crop_size: int = _row(
        "Data",
        "integer",
        240,
        "Side in pixels of the square cut at random from the resized image, rounded up to a multiple of 8.",
        interval=_SIDE,
    )

    scale_range: tuple[float, ...] = _row(
        "Augmentation",
        "scales",
        (0.5, 2.0),
        "The smallest and the largest factor by which base_size is multiplied, at random.",
        interval=Interval(0.1, 4),
        extension=True,
    )
    rotation: float = _row(
        "Augmentation",
        "number",
        0.0,
        "Rotate crops by a random angle of at most so many degrees to both sides. Corners that come from outside "
        "the crop are ignored in the mask.",
        interval=Interval(0, 180),
        extension=True,
    )
    color_jitter: float = _row(
        "Augmentation",
        "number",
        0.0,
        "Change brightness, contrast and saturation by random factors between 1 - x and 1 + x, and the hue by at most "
        "x / 4 of the color circle.",
        interval=_FRACTION,
        extension=True,
    )
    class_balanced_crops: float = _row(
        "Augmentation",
        "number",
        0.0,
        "Share of the crops that are placed over a pixel of a class that is drawn with equal chances from the classes "
        "in the image, so that small objects are seen more often.",
        interval=_FRACTION,
        extension=True,
    )

    epochs: int = _row("Training", "integer", 10, "Number of passes over the training images.", interval=_POSITIVE)
    mini_batch_size: int = _row(
        "Training",
        "integer",
        16,
        "Images in one training step, over all devices of all hosts together; a multiple of their number.",
        interval=_POSITIVE,
        tunable=Interval(1, 128),
    )
    validation_mini_batch_size: int = _row(
        "Training", "integer", 16, "Images in one validation step.", interval=_POSITIVE
    )
    syncbn: bool = _row(
        "Training", "boolean", False, "Batch normalisation takes its statistics over all devices, not over each alone."
    )
    aux_weight: float = _row(
        "Training",
        "number",
        0.5,
        "Weight in the loss of the auxiliary head, which classifies the output of the backbone's third stage.",
        interval=_NOT_NEGATIVE,
        extension=True,
    )
    class_weights: tuple[float, ...] | Literal["auto"] = _row(
        "Training",
        "weights",
        (),
        "Weights of the classes in the loss. Empty: all alike. auto: median-frequency balancing from the training "
        "masks. Otherwise num_classes numbers with commas between them, not all of them 0.",
        interval=_NOT_NEGATIVE,
        extension=True,
    )
    ohem_fraction: float = _row(
        "Training",
        "number",
        1.0,
        "Share of the labeled pixels that count in the loss, those with the largest one: online hard example mining.",
        interval=_POSITIVE_FRACTION,
        extension=True,
    )
    dice_weight: float = _row(
        "Training",
        "number",
        0.0,
        "Weight in the loss of 1 - the mean Dice coefficient of the classes in the batch, for small objects.",
        interval=_NOT_NEGATIVE,
        extension=True,
    )
    focal_gamma: float = _row(
        "Training",
        "number",
        0.0,
        "Multiply each pixel's cross entropy by (1 - p)^gamma, p being the probability of its label (focal loss).",
        interval=_NOT_NEGATIVE,
        extension=True,
    )
    label_smoothing: float = _row(
        "Training",
        "number",
        0.0,
        "Share of each label that is spread evenly over all classes.",
        interval=Interval(0, 1, high_open=True),
        extension=True,
    )
    ema_decay: float = _row(
        "Training",
        "number",
        0.0,
        "Keep an exponential moving average of all weights, such as 0.999, which validation, the best epoch and the "
        "model use. In the first updates t the decay is (1 + t) / (10 + t), if that is smaller. 0: no average.",
        interval=Interval(0, 1, high_open=True),
        extension=True,
    )
    precision: str = _row(
        "Training",
        "choice",
        "float32",
        "Type of number that the network computes with. Weights, loss and metrics are float32 always; mixed_float16 "
        "scales the loss. auto: measured at the start, float32 unless half precision is at least 10 % faster.",
        choices=("float32", "mixed_float16", "mixed_bfloat16", "auto"),
        extension=True,
    )
    recompute: bool = _row(
        "Training",
        "boolean",
        False,
        "Keep the outputs of the residual blocks alone, and compute what is inside them a second time for the "
        "gradient: less memory, for larger crops or batches, and a step takes about 1.2 times as long. The result is "
        "the same.",
        extension=True,
    )
    checkpoint_minutes: float = _row(
        "Training",
        "number",
        5.0,
        "Minutes of training after which a checkpoint is written, beside the ones before and after each validation: "
        "what is lost at most if the machine fails.",
        interval=_POSITIVE,
        extension=True,
    )
    seed: int = _row(
        "Training",
        "integer",
        0,
        "Governs everything that is drawn at random: the first weights, the order of the images, their "
        "augmentation, dropout. Change it to repeat a training with other draws.",
        interval=_NOT_NEGATIVE,
        extension=True,
    )

    optimizer: str = _row(
        "Optimizer",
        "choice",
        "sgd",
        "The update rule; nag is sgd with Nesterov's momentum, adamw is adam with decoupled weight decay.",
        choices=("sgd", "adam", "adagrad", "nag", "rmsprop", "adamw"),
        added_choices=("adamw",),
        tunable=("sgd", "adam", "rmsprop", "adagrad", "nag"),
    )
    momentum: float = _row(
        "Optimizer",
        "number",
        0.9,
        "Momentum of sgd and nag; the others ignore it.",
        interval=_POSITIVE_FRACTION,
        tunable=Interval(0.9, 0.999),
    )
    weight_decay: float = _row(
        "Optimizer",
        "number",
        0.0001,
        "L2 penalty that sgd and nag add to the gradient of every trainable weight but batch normalisation's and "
        "biases. adamw takes learning rate * weight_decay of these weights off at each update instead; the others "
        "ignore it.",
        interval=Interval(0, 1, low_open=True, high_open=True),
        tunable=Interval(1e-5, 1e-3),
    )
    gamma1: float = _row(
        "Optimizer",
        "number",
        0.9,
        "rmsprop: decay of the averages of the gradient and of its square.",
        interval=_FRACTION,
    )
    gamma2: float = _row("Optimizer", "number", 0.9, "rmsprop: its momentum.", interval=_FRACTION)

    learning_rate: float = _row(
        "Learning rate",
        "number",
        0.001,
        "Learning rate of the backbone at the start.",
        interval=_POSITIVE_FRACTION,
        tunable=Interval(1e-4, 1e-1),
    )
    head_learning_rate_multiplier: float = _row(
        "Learning rate",
        "number",
        10.0,
        "The decoder and the auxiliary head learn at this multiple of the backbone's rate.",
        interval=_POSITIVE,
        extension=True,
    )
    warmup_epochs: float = _row(
        "Learning rate",
        "number",
        0.0,
        "Epochs, or parts of one, over which the rate grows in a straight line from 0 before the schedule begins; "
        "fewer than epochs.",
        interval=_NOT_NEGATIVE,
        extension=True,
    )
    lr_scheduler: str = _row(
        "Learning rate",
        "choice",
        "poly",
        "How the rate falls. poly: by (1 - t/T)^0.9 at every update, down to 0. cosine: by half a cosine, down to "
        "0. step: by lr_scheduler_factor after each epoch of lr_scheduler_step.",
        choices=("step", "poly", "cosine"),
    )
    lr_scheduler_factor: float = _row(
        "Learning rate",
        "number",
        0.1,
        "step: what the rate is multiplied by; the other schedules ignore it.",
        interval=_FRACTION,
    )
    lr_scheduler_step: tuple[int, ...] = _row(
        "Learning rate",
        "integers",
        (),
        "step: the epochs after which the rate falls, such as 10, 20; required then, ignored by the other schedules.",
        interval=_POSITIVE,
    )

    early_stopping: bool = _row("Early stopping", "boolean", False, "Stop when the validation mIOU no longer improves.")
    early_stopping_min_epochs: int = _row(
        "Early stopping", "integer", 5, "Epochs that are trained in any case before stopping is considered."
    )
    early_stopping_patience: int = _row(
        "Early stopping", "integer", 4, "Epochs without an improvement that are tolerated."
    )
    early_stopping_tolerance: float = _row(
        "Early stopping",
        "number",
        0.0,
        "Relative improvement of the validation mIOU below which an epoch counts as not improved.",
        interval=_FRACTION,
    )

    inference_scales: tuple[float, ...] = _row(
        "Inference",
        "scales",
        (1.0,),
        "Factors by which predict and serve resize an image; the probabilities are averaged. Each takes the square of "
        "its factor in time. A model's user may choose others.",
        interval=Interval(0.1, 4),
        extension=True,
    )
    inference_flip: bool = _row(
        "Inference",
        "boolean",
        False,
        "Whether predict and serve average over the mirrored image too, which doubles the time. A model's user may "
        "choose otherwise.",
        extension=True,
    )

    quantize: bool = _row(
        "Inference",
        "boolean",
        False,
        "Add an int8 graph to the model after the training, which takes a quarter of the time on CPUs with VNNI. The "
        "model gets it only if it is nearly as good on the validation images; the log says so. Not in Pipe mode.",
        extension=True,
    )

    @property
    def stride(self) -> int:
        """``output_stride`` as a number."""
        return int(self.output_stride)

    @property
    def padded_crop_size(self) -> int:
        """Side of the training crop in pixels: ``crop_size`` rounded up to a multiple of 8."""
        return -(-self.crop_size // 8) * 8


TABLE: tuple[Hyperparameter, ...] = tuple(replace(f.metadata["row"], name=f.name) for f in fields(Hyperparameters))
