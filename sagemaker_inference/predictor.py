"""Do not import: see `_aws.shadowed`."""

from sagemaker_inference._aws.shadowed import MESSAGE

raise ImportError(MESSAGE)
