from stele.arithmetic import Q16, normalize, quantize
from stele.errors import *
