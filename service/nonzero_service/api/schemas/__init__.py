"""Wire types: what the OpenAPI description says of bodies and answers."""

from nonzero_service.api.schemas.examples import Example as Example
from nonzero_service.api.schemas.examples import Examples as Examples
from nonzero_service.api.schemas.examples import Label as Label
from nonzero_service.api.schemas.examples import Labels as Labels
from nonzero_service.api.schemas.figures import Diagnosis as Diagnosis
from nonzero_service.api.schemas.figures import Metrics as Metrics
from nonzero_service.api.schemas.figures import Remedied as Remedied
from nonzero_service.api.schemas.learning import ClockSet as ClockSet
from nonzero_service.api.schemas.learning import Labelled as Labelled
from nonzero_service.api.schemas.learning import ProgressLine as ProgressLine
from nonzero_service.api.schemas.learning import Resumed as Resumed
from nonzero_service.api.schemas.learning import Updated as Updated
from nonzero_service.api.schemas.models import ModelList as ModelList
from nonzero_service.api.schemas.models import ModelState as ModelState
from nonzero_service.api.schemas.models import NewModel as NewModel
from nonzero_service.api.schemas.models import Snapshot as Snapshot
from nonzero_service.api.schemas.predictions import Explanation as Explanation
from nonzero_service.api.schemas.predictions import Predictions as Predictions
from nonzero_service.api.schemas.problems import Problem as Problem
from nonzero_service.api.schemas.wire import Health as Health
