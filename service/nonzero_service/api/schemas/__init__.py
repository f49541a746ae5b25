"""Wire types: what the OpenAPI description says of bodies and answers."""

from nonzero_service.api.schemas.challengers import Compared as Compared
from nonzero_service.api.schemas.challengers import PromotedWire as PromotedWire
from nonzero_service.api.schemas.challengers import WhoIsPromoted as WhoIsPromoted
from nonzero_service.api.schemas.examples import Examples as Examples
from nonzero_service.api.schemas.examples import ExampleWire as ExampleWire
from nonzero_service.api.schemas.examples import Label as Label
from nonzero_service.api.schemas.examples import Labels as Labels
from nonzero_service.api.schemas.figures import Diagnosis as Diagnosis
from nonzero_service.api.schemas.figures import MetricsWire as MetricsWire
from nonzero_service.api.schemas.figures import Remedied as Remedied
from nonzero_service.api.schemas.learning import ClockSetWire as ClockSetWire
from nonzero_service.api.schemas.learning import LabelledWire as LabelledWire
from nonzero_service.api.schemas.learning import ProgressLine as ProgressLine
from nonzero_service.api.schemas.learning import ResumedWire as ResumedWire
from nonzero_service.api.schemas.learning import Updated as Updated
from nonzero_service.api.schemas.models import ModelList as ModelList
from nonzero_service.api.schemas.models import ModelState as ModelState
from nonzero_service.api.schemas.models import NewModel as NewModel
from nonzero_service.api.schemas.models import SnapshotWire as SnapshotWire
from nonzero_service.api.schemas.predictions import ExplanationWire as ExplanationWire
from nonzero_service.api.schemas.predictions import Predictions as Predictions
from nonzero_service.api.schemas.problems import ProblemWire as ProblemWire
from nonzero_service.api.schemas.wire import Health as Health
