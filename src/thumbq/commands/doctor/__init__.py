"""What `thumbq doctor` does: it looks at all that the service needs, and changes nothing."""

from thumbq.commands.doctor.doctor import Examined, examine
from thumbq.commands.doctor.findings import Finding, Findings, Level

__all__ = ["Examined", "Finding", "Findings", "Level", "examine"]
